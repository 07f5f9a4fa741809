"""What a leader knows of its own lag at any moment, without asking anybody.

Measurements come once a second, and in between a leader stores thousands of events. Two things it knows by itself:
which events it has sent and has no ack for, and up to which source time it has read everything. Events are sent in the
order of their commits, so the oldest in flight stands for the oldest unpublished one; when nothing is in flight and all
up to a moment ago has been read, there is none. Otherwise it cannot tell, and the table must be asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from relay.events.cursor import Cursor
from relay.events.snapshot import Snapshot

#: Checkpoints of the log come twice a second, and before Postgres 17 a fifth of a second late.
RECENT_SECONDS = 1.0


class Session(Protocol):
    """What a publishing session tells of itself when asked. Times are µs since 1970 by the database's clock."""

    @property
    def settled(self) -> bool:
        """Whether everything that was sent has its ack."""

    @property
    def read_up_to(self) -> int | None:
        """Everything committed before this time has been read; None when that is not known."""

    @property
    def last_read(self) -> int | None:
        """`recorded_at` of the event that was read last; None before the first one."""

    @property
    def stored_cursor(self) -> Cursor | None:
        """The stream holds everything up to this cursor; None before the first ack."""

    def oldest_in_flight(self) -> int | None:
        """The least `recorded_at` of the events that have no ack yet; None when there is no such event."""

    def covering(self) -> tuple[Snapshot, Sequence[int]] | None:
        """What is stored, where that is known more exactly than the cursor says it."""


class OwnLag:
    """Keeps what the leader knows of its lag; the publish loop feeds it.

    After a session ends, its values stay valid until the next measurement.
    """

    def __init__(self) -> None:
        self._leads = False
        self._session: Session | None = None
        self._over = False
        self._source_epoch: int | None = None
        self._source_changed = False

    def database_checked(self, source_epoch: int) -> None:
        """Notes that the database is the one on record, of that source epoch."""
        self._source_epoch, self._source_changed = source_epoch, False

    def source_changed(self) -> None:
        """Notes that the database is another one than that whose events the stream holds."""
        self._source_changed = True

    def leads(self) -> None:
        """Notes that this relay has the leader's lock."""
        self._leads = True

    def session_begun(self, session: Session) -> None:
        """Takes what it tells from this session from now on."""
        self._session, self._over = session, False

    def session_over(self) -> None:
        """Notes that the session has ended; it publishes nothing more."""
        self._over = True

    def stepped_back(self) -> None:
        """Forgets the session: this relay does not lead, or not any more."""
        self._leads, self._session, self._over = False, None, False

    @property
    def leading(self) -> bool:
        """Whether this relay leads."""
        return self._leads

    @property
    def in_session(self) -> bool:
        """Whether a session publishes now."""
        return self._session is not None and not self._over

    def comparable(self, cursor_epoch: int) -> bool:
        """Whether a cursor of that source epoch says anything about this database; 0 stands for an empty stream."""
        known = self._source_epoch is None or cursor_epoch in {0, self._source_epoch}
        return known and not self._source_changed

    def stored(self) -> tuple[Cursor | None, tuple[Snapshot, Sequence[int]] | None]:
        """The cursor that the session has stored, and what it covers more exactly; None for what is not known."""
        return (self._session.stored_cursor, self._session.covering()) if self._session is not None else (None, None)

    def oldest(self, now: int, measured: int | None, *, measured_in_session: bool) -> int | None:
        """`recorded_at` of the oldest unpublished event at the database's time `now`, given what was measured last (in
        a session or not); None when there is none."""
        session = self._session
        if session is None or (self._over and not measured_in_session):
            return measured
        in_flight = session.oldest_in_flight()
        if in_flight is not None:
            return in_flight
        if measured is None or self._recent(session, now):
            return None
        return max(measured, session.last_read) if session.last_read is not None else measured

    def tells(self, now: int, *, measured_backlog: bool, measured_in_session: bool) -> bool:
        """Whether the age at the database's time `now` is known without a new measurement: to a leader, or because
        nobody asks this one."""
        if not self._leads:
            return True
        if self._session is None or self._over:
            # Nothing is published now, so an age only grows, once there is one.
            return measured_backlog and not measured_in_session
        return not self._session.settled or self._recent(self._session, now)

    @staticmethod
    def _recent(session: Session, now: int) -> bool:
        return session.read_up_to is not None and now - session.read_up_to < RECENT_SECONDS * 1e6
