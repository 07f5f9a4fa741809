"""Derives a leader's lag from what its publishing session knows, without a query.

The observer measures once a second, and a leader stores thousands of events between two measurements. The leader knows
two things without a query: which events are in flight, and up to which source time it has read everything. It sends
events in commit order, so the oldest event in flight is the oldest unpublished event. If nothing is in flight, and
everything up to a moment ago has been read, no event is unpublished. In all other cases the table must be queried.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from relay.events.cursor import Cursor
from relay.events.snapshot import Snapshot

#: What was read up to so long ago counts as recent. Checkpoints of the log come twice a second, and before Postgres 17
#: they are a fifth of a second late.
RECENT_SECONDS = 1.0


class Session(Protocol):
    """What a publishing session reports when asked. Times are µs since 1970 by the database's clock."""

    @property
    def settled(self) -> bool:
        """Whether every sent message has its ack."""

    @property
    def read_up_to(self) -> int | None:
        """The time before which every committed event has been read; None if that is not known."""

    @property
    def last_read(self) -> int | None:
        """`recorded_at` of the event that was read last; None before the first one."""

    @property
    def stored_cursor(self) -> Cursor | None:
        """The cursor up to which the stream holds everything; None before the first ack."""

    def oldest_in_flight(self) -> int | None:
        """Returns the least `recorded_at` of the events that have no ack yet; None if there is no such event."""

    def covering(self) -> tuple[Snapshot, Sequence[int]] | None:
        """Returns what the stream holds, if that is known more exactly than from the cursor (`Source.covering`)."""


class OwnLag:
    """Keeps what the leader knows about its own lag. The publish loop reports to it.

    After a session has ended, the values of that session stay in use until the next measurement.
    """

    def __init__(self) -> None:
        self._leads = False
        self._session: Session | None = None
        self._over = False
        self._source_epoch: int | None = None
        self._source_changed = False

    def database_checked(self, source_epoch: int) -> None:
        """Records that the database is the one on record, and has that source epoch."""
        self._source_epoch, self._source_changed = source_epoch, False

    def source_changed(self) -> None:
        """Records that the stream holds the events of another database."""
        self._source_changed = True

    def leads(self) -> None:
        """Records that this relay has the leader's lock."""
        self._leads = True

    def session_begun(self, session: Session) -> None:
        """Makes `session` the one whose values are used from now on."""
        self._session, self._over = session, False

    def session_over(self) -> None:
        """Records that the session has ended and publishes nothing more."""
        self._over = True

    def stepped_back(self) -> None:
        """Records that this relay does not lead (any more), and forgets the session."""
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
        """Returns whether a cursor of that source epoch says anything about this database.

        The epoch 0 stands for an empty stream and fits every epoch.
        """
        known = self._source_epoch is None or cursor_epoch in {0, self._source_epoch}
        return known and not self._source_changed

    def stored(self) -> tuple[Cursor | None, tuple[Snapshot, Sequence[int]] | None]:
        """Returns the cursor up to which the session has stored, and what the stream holds more exactly.

        The second is the value of `Session.covering`. Each is None if it is unknown.
        """
        return (self._session.stored_cursor, self._session.covering()) if self._session is not None else (None, None)

    def oldest(self, now: int, measured: int | None, *, measured_in_session: bool) -> int | None:
        """Returns the `recorded_at` of the event that is the oldest unpublished one as of `now`, by the database clock.

        Returns None if every event is published. `measured` is the `recorded_at` that the last measurement found, and
        `measured_in_session` is true if the relay was publishing when that measurement began.
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
        """Returns whether the lag at the database's time `now` is known without a new measurement."""
        if not self._leads:
            return True
        if self._session is None or self._over:
            # Nothing is published now. If the measurement found an unpublished event, its age only grows.
            return measured_backlog and not measured_in_session
        return not self._session.settled or self._recent(self._session, now)

    @staticmethod
    def _recent(session: Session, now: int) -> bool:
        return session.read_up_to is not None and now - session.read_up_to < RECENT_SECONDS * 1e6
