"""What keeps an adoption from going on, as lock and publishing loop tell it."""

from __future__ import annotations

from relay.publishing.session import Publishing


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

    def standing_by(self, source_epoch: int) -> None:
        """Another relay or adoption leads, or is just about to end."""
        self.begins()
        self.waiting_for_lock = True
        self.obstacle = "waiting for the leader's lock: another relay or adoption holds it"

    def leads(self, source_epoch: int) -> None:
        """The lock is ours."""
        self.begins()

    def stepped_back(self) -> None:
        """What it is that ended the leadership is told apart."""

    def error(self, kind: str, cause: Exception) -> None:
        """Something failed. It is tried again; what was refused need not be out of reach."""
        self.begins()
        self.obstacle = str(cause)
        self.unreachable = str(cause) if kind != "refused" else None

    def fenced(self, reason: str) -> None:
        """Another one writes to the stream; it is tried again."""
        self.begins()
        self.obstacle = self.unreachable = reason

    def session_begun(self, session: Publishing) -> None:
        """Goes on."""
        self.begins()

    def session_over(self) -> None:
        """Why, is told as an error."""

    def duplicate(self) -> None:
        """Found stored already."""
