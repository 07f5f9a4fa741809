"""Remembers what delays an adoption, as the lock and the publish loop report it."""

from __future__ import annotations

from relay.publishing.session import Publishing


class AdoptionProgress:
    """Observes the publish loop (`relay.publishing.loop.Observer`) and its wait for the lock.

    `obstacle` is a sentence about what the adoption waits for; None while it works. `unreachable` is the same sentence
    if database or stream does not answer, otherwise None. `waiting_for_lock` says whether another relay leads.
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
        """Records that another relay or adoption holds the lock, or has just released it."""
        self.begins()
        self.waiting_for_lock = True
        self.obstacle = "waiting for the leader's lock: another relay or adoption holds it"

    def leads(self, source_epoch: int) -> None:
        """Records that this adoption holds the lock."""
        self.begins()

    def stepped_back(self) -> None:
        """Does nothing, because the cause is reported separately."""

    def error(self, kind: str, cause: Exception) -> None:
        """Records an error, after which the loop tries again. After a refusal, `unreachable` stays None."""
        self.begins()
        self.obstacle = str(cause)
        self.unreachable = str(cause) if kind != "refused" else None

    def fenced(self, reason: str) -> None:
        """Records that another session has written to the stream. The loop tries again."""
        self.begins()
        self.obstacle = self.unreachable = reason

    def session_begun(self, session: Publishing) -> None:
        """Records that the adoption works again."""
        self.begins()

    def session_over(self) -> None:
        """Does nothing, because the cause is reported as an error."""

    def duplicate(self) -> None:
        """Does nothing: an event that is already stored delays nothing."""
