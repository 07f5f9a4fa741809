"""What keeps an adoption from going on, as lock and publishing loop tell it."""

from __future__ import annotations


class AdoptionProgress:
    """Observes the loop (`relay.publishing.loop.Observer`) and the waiting for its lock.

    `obstacle`: what it waits for, in a sentence; None while it goes on. `unreachable`: the same, when it is a database
    or a stream that does not answer. `waiting_for_lock`: whether another one leads.
    """

    def __init__(self) -> None:
        self.begins()

    def begins(self) -> None:
        """Forgets what stood in the way."""
        self.obstacle: str | None = None
        self.unreachable: str | None = None
        self.waiting_for_lock = False

    def waits_for_lock(self) -> None:
        """Another relay or adoption leads, or is just about to end."""
        self.begins()
        self.waiting_for_lock = True
        self.obstacle = "waiting for the leader's lock: another relay or adoption holds it"

    def leads(self) -> None:
        """The lock is ours."""
        self.begins()

    def error(self, kind: str, reason: str) -> None:
        """Something failed. It is tried again; what was refused need not be out of reach."""
        self.begins()
        self.obstacle = reason
        self.unreachable = reason if kind != "refused" else None

    def fenced(self, reason: str) -> None:
        """Another one writes to the stream; it is tried again."""
        self.error("fenced", reason)

    def session_begun(self) -> None:
        """Goes on."""
        self.begins()

    def duplicate(self) -> None:
        """Found stored already."""
