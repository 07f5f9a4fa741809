"""Keeps what delays an adoption, as reported by the lock and the publishing loop."""

from __future__ import annotations

from relay.publishing.session import Publishing


class AdoptionProgress:
    """Observes the loop (`relay.publishing.loop.Observer`) and the wait for its lock.

    `obstacle`: what it waits for, in a sentence; None while it works. `unreachable`: the same, if a database or a
    stream does not answer. `waiting_for_lock`: whether another relay leads.
    """

    def __init__(self) -> None:
        self.obstacle: str | None = None
        self.unreachable: str | None = None
        self.waiting_for_lock = False

    def begins(self) -> None:
        """Forgets earlier obstacles."""
        self.obstacle = self.unreachable = None
        self.waiting_for_lock = False

    def standing_by(self, source_epoch: int) -> None:
        """Another relay or adoption leads, or is about to end."""
        self.begins()
        self.waiting_for_lock = True
        self.obstacle = "waiting for the leader's lock: another relay or adoption holds it"

    def leads(self, source_epoch: int) -> None:
        """This adoption holds the lock."""
        self.begins()

    def stepped_back(self) -> None:
        """The cause of the end is reported separately."""

    def error(self, kind: str, cause: Exception) -> None:
        """Something failed and is retried. A refusal does not mean that something is out of reach."""
        self.begins()
        self.obstacle = str(cause)
        self.unreachable = str(cause) if kind != "refused" else None

    def fenced(self, reason: str) -> None:
        """Another session writes to the stream; the work is retried."""
        self.begins()
        self.obstacle = self.unreachable = reason

    def session_begun(self, session: Publishing) -> None:
        """The work continues."""
        self.begins()

    def session_over(self) -> None:
        """The cause is reported as an error."""

    def duplicate(self) -> None:
        """An event was already stored."""
