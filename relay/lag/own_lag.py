"""Derives a leader's lag from what it knows, without asking anybody.

A measurement comes once a second, and a leader stores thousands of events in between. It knows two things by itself:
which events are in flight, and up to which source time it has read everything. Events are sent in commit order, so the
oldest one in flight is the oldest unpublished one. If nothing is in flight, and everything up to a moment ago has been
read, there is none. Otherwise the table must be asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from relay.events.cursor import Cursor
from relay.events.snapshot import Snapshot

#: Checkpoints of the log come twice a second, and before Postgres 17 a fifth of a second late.
RECENT_SECONDS = 1.0


class Session(Protocol):
    """What a publishing session reports when asked. Times are µs since 1970 by the database's clock."""

    @property
    def settled(self) -> bool:
        """Whether every sent message has its ack."""

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
        """What is stored, if that is known more exactly than by the cursor."""


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
        """Records that the database is another one than the one whose events the stream holds."""
        self._source_changed = True

    def leads(self) -> None:
        """Notes that this relay has the leader's lock."""
        self._leads = True

    def session_begun(self, session: Session) -> None:
        """Takes its values from this session from now on."""
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
        """The cursor that the session has stored, and what it covers more exactly; None for what is unknown."""
        return (self._session.stored_cursor, self._session.covering()) if self._session is not None else (None, None)

    def oldest(self, now: int, measured: int | None, *, measured_in_session: bool) -> int | None:
        """Returns `recorded_at` of the oldest unpublished event at the database's time `now`; None if there is none.

        It starts from the last measurement, made in a session or not.
        """
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
        """Whether the age at the database's time `now` is known without a new measurement."""
        if not self._leads:
            return True
        if self._session is None or self._over:
            # Nothing is published now, so an age only grows, once there is one.
            return measured_backlog and not measured_in_session
        return not self._session.settled or self._recent(self._session, now)

    @staticmethod
    def _recent(session: Session, now: int) -> bool:
        return session.read_up_to is not None and now - session.read_up_to < RECENT_SECONDS * 1e6
