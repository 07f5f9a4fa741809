"""Defines the errors that stop or delay the relay: one class for each way in which the relay must react."""

from __future__ import annotations

from enum import Enum


class Refused(Exception):  # noqa: N818 - read as the state it names
    """The relay must not run with this database or stream as they are now. An operator has to act.

    The message is one sentence that says what is wrong and what to do. Status and metrics show `state`.
    """

    state = "REFUSED"


class SourceIsStandby(Refused):
    """The database is a standby. Rows that it shows may be missing on the server that is promoted next."""

    state = "SOURCE_IS_STANDBY"


class SourceChanged(Refused):
    """The stream holds the events of another database: this one was restored, or a failover lost transactions."""

    state = "SOURCE_CHANGED"


class LogUnavailable(Exception):  # noqa: N818 - read as the state it names
    """The write-ahead log cannot be read now, but polling can go on. The message says why and what would help."""


class LeadershipLost(Exception):  # noqa: N818
    """The leader's database session has ended or has lost the lock. The relay must stop publishing and stand by."""


class SteppedDown(LeadershipLost):
    """The stream holds a message of a higher term, so another relay leads."""


class Unpublishable(Exception):  # noqa: N818
    """No retry can publish the event. The error's message is the reason that is recorded with the parked event."""


class Closing(Enum):
    """The reason for which a publishing session ended. It decides what the relay does next."""

    FENCED = "fenced"
    """The stream went on without us: read its last message again, step down if its term is higher."""
    EVENT = "event"
    """The server refuses this one event whatever we do: park it, then resume after the last stored one."""
    FLIGHT = "flight"
    """Messages with one ack were refused: which one, and why, shows when they go one by one: go on like that."""
    DUPLICATE = "duplicate"
    """The server says that it knows a message id; that proves neither storage nor loss."""
    SOURCE = "source"
    """The source cannot go on from here; it can from the stream's last message."""
    UNAVAILABLE = "unavailable"
    """The outcome is unknown, or the stream cannot accept messages now: wait, then resume after the last stored one."""


class SessionClosed(Exception):  # noqa: N818
    """The first error of a publishing session, which ends the session.

    What became of the messages in flight is not known here: the next session reads from the stream what was stored.
    `sequence` is the predicted stream sequence of the failed message; None if the error belongs to no single message.
    """

    def __init__(self, closing: Closing, reason: str, sequence: int | None = None) -> None:
        super().__init__(reason)
        self.closing = closing
        self.reason = reason
        self.sequence = sequence


class DuplicateReported(SessionClosed):
    """An ack said `duplicate: true`. `stored_sequence` is where the server claims to have the first copy."""

    def __init__(self, reason: str, sequence: int | None, stored_sequence: int) -> None:
        super().__init__(Closing.DUPLICATE, reason, sequence)
        self.stored_sequence = stored_sequence
