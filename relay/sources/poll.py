"""Finds events by polling: it reads the difference of two snapshots.

The source keeps a snapshot S1 and repeats three steps. It takes a new snapshot S2. It delivers the rows that S2 sees
and S1 does not, in the order of their positions, in chunks. Then S2 becomes S1. A row becomes visible when its
transaction commits, and that is between two consecutive snapshots. So each committed row is in exactly one difference.
A later event of an aggregate is written after the earlier event has committed, because the aggregate is locked, and the
position is allocated under that lock. So in a difference that has both, the earlier event has the lower position. The
source updates and deletes nothing, and a transaction that stays open delays no others.

The fact that a transaction has ended must survive a crash of the server. A transaction that was rolled back may have
left nothing on disk. After a crash the server may then give its id to another transaction, and a cursor that counts
the id as ended would skip the rows of that one. So the log is flushed up to S2 before anything after S2 is stored.

How the rows of a difference are found depends on how many there are:
- With no or few rows, by the index on the transaction id.
- With more than one chunk, along the primary key from the first row on, as long as that finds full chunks. Where the
  rows of the difference are far apart, the index finds the next row from which to continue.
- Without S1 (at a first start, or if the stream is filled anew), the whole table is read along its primary key, but for
  the rows that an operator has discarded. The stream that knew of it may be the one that was lost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from relay.events.cursor import END, Cursor, PollCursor
from relay.events.delivered import NOTHING, Delivered
from relay.events.event import OutboxEvent
from relay.events.snapshot import Snapshot
from relay.events.source import Batch, Checkpoint, Mode
from relay.outbox.database import DatabaseConnection, configure
from relay.outbox.fetch_events import fetch_events
from relay.outbox.request_table import discarded_positions
from relay.outbox.table import PLANNER_SETTINGS, OutboxTable, Query

BUSY_SECONDS = 0.005
IDLE_SECONDS = 0.25
#: Reading along the primary key covers so many positions for each row that it may return. If it does not find a full
#: chunk among them, the rows are far apart.
_WALK_FACTOR = 100


class PollSource:
    """Finds new rows of one outbox table by polling, over the leader's session.

    It uses single statements in autocommit, so no transaction stays open between reads.
    """

    mode = Mode("poll")

    def __init__(self, table: OutboxTable, connection: DatabaseConnection, epoch: int) -> None:
        self._table = table
        self._connection = connection
        self._cursor = PollCursor(epoch)
        self._as_of: int | None = None
        self._walk = False
        self._idle = BUSY_SECONDS
        self._prepared = False
        self._delivered = NOTHING
        self._end: Snapshot | None = None
        self._discarded: frozenset[int] | None = None

    @property
    def cursor(self) -> PollCursor:
        """The cursor up to which everything has been read."""
        return self._cursor

    def pass_over(self, delivered: Delivered) -> None:
        """Sets the events that polls must skip, because the cursor says that they are delivered."""
        self._delivered = delivered

    def end_at(self, snapshot: Snapshot) -> None:
        """Makes the next difference end at `snapshot`, if that snapshot is later than the present cursor."""
        self._end = snapshot

    async def transactions_between(self, seen: Snapshot, upto: Snapshot, limit: int) -> list[int]:
        """Returns the ids of transactions that have rows in the difference of the snapshots, at most `limit`."""
        query = self._table.transactions_between(seen, upto, limit)
        cursor = await self._connection.execute(query.text, query.parameters)
        return [int(row[0]) for row in await cursor.fetchall()]

    async def resume(self, cursor: Cursor) -> None:
        """Continues from `cursor`. The first call also sets the session's planner settings, which polling needs."""
        assert isinstance(cursor, PollCursor)
        self._cursor = cursor
        self._as_of = None
        self._walk = False
        self._idle = BUSY_SECONDS
        self._delivered = NOTHING
        self._end = None
        self._discarded = None
        if not self._prepared:
            await configure(self._connection, PLANNER_SETTINGS)
            await self._connection.execute(self._table.prepare_by_transaction())
            self._prepared = True

    async def read(self, max_events: int, max_bytes: int) -> Batch:
        """Returns the next chunk of the present difference, or of a new one if that is complete."""
        if self._cursor.upto is None:
            checkpoint = await self._open_difference()
            if checkpoint is not None:
                self._idle = min(IDLE_SECONDS, self._idle * 2)
                return Batch(self._cursor.base, self._cursor, (), (), self._cursor, checkpoint, more=False)
        before = self._cursor
        assert before.upto is not None
        events, exhausted = await self._chunk(before, before.upto, max_events, max_bytes)
        if not exhausted and events:
            self._cursor = replace(before, position=events[-1].position)
        if before.seen is None:
            events = await self._kept(events)
        if before.passed is not None:
            events = [event for event in events if not self._delivered.holds(event)]
        marks = [str(event.position) for event in events]
        if not exhausted:
            after = replace(before, position=events[-1].position) if events else before
            return Batch(before.base, before, events, marks, after, None, more=True)
        after = before
        if marks:
            marks[-1] = END
            after = PollCursor(before.epoch, before.upto, passed=before.passed)
            self._idle = BUSY_SECONDS
        else:
            self._idle = min(IDLE_SECONDS, self._idle * 2)
        # A snapshot may see a transaction later than the log delivers it, because its commit may wait for a standby.
        passed = None if self._delivered.seen_by(before.upto) else before.passed
        self._cursor = PollCursor(before.epoch, before.upto, passed=passed)
        reached = Checkpoint(self._cursor, self._as_of)
        return Batch(before.base, before, events, marks, after, reached, more=False)

    def stored(self, cursor: Cursor) -> None:
        """Does nothing, because rows stay in the table."""

    def idle_seconds(self) -> float:
        """Returns 5 ms after rows were found. The value doubles with each read that finds none, up to 250 ms."""
        return self._idle

    def notify(self, wake: Callable[[], None]) -> None:
        """Does nothing, because nothing announces new rows to a poll."""

    def covering(self) -> None:
        """Returns None, because the cursor says exactly what is stored."""

    async def close(self) -> None:
        """Does nothing, because this source holds no resource."""

    async def _open_difference(self) -> Checkpoint | None:
        """Takes S2. Returns a checkpoint if S2 sees no more than S1; then the table need not be read. Else None."""
        # In autocommit now() is when the statement arrived. The snapshot is taken after that, so it sees everything
        # that committed before now(). (statement_timestamp() and clock_timestamp() may be later than the snapshot.)
        cursor = await self._connection.execute(
            "SELECT (extract(epoch FROM now()) * 1000000)::bigint, pg_current_snapshot()::text,"
            " pg_current_wal_flush_lsn() < pg_current_wal_insert_lsn()",
            prepare=True,
        )
        row = await cursor.fetchone()
        assert row is not None
        self._as_of, upto = int(row[0]), Snapshot.parse(row[1])
        seen = self._cursor.seen
        end, self._end = self._end, None
        # Rows that a snapshot from the log sees may become visible to our session a little later.
        if end is not None and upto.includes(end) and (seen is None or end.includes(seen)):
            upto, self._as_of = end, None
        if seen is not None and seen.sees_as_much_as(upto):
            self._cursor = replace(self._cursor, seen=upto)
            return Checkpoint(self._cursor, self._as_of)
        if row[2]:
            await self._flush()
        self._cursor = replace(self._cursor, upto=upto, position=0)
        self._walk = seen is None
        return None

    async def _flush(self) -> None:
        """Commits a record of our own and so waits until everything before it in the log is on disk."""
        await self._connection.execute("SELECT pg_logical_emit_message(true, 'tandem.flush', '')", prepare=True)

    async def _kept(self, events: list[OutboxEvent]) -> list[OutboxEvent]:
        """Returns the events that no operator has discarded."""
        if self._discarded is None:
            self._discarded = await discarded_positions(self._connection, self._table.name)
        return [event for event in events if event.position not in self._discarded]

    async def _chunk(
        self, at: PollCursor, upto: Snapshot, max_events: int, max_bytes: int
    ) -> tuple[list[OutboxEvent], bool]:
        """Returns the next rows after `at`, and whether the difference has no more after them."""
        if at.seen is None:
            events, complete = await fetch_events(
                self._connection, self._table.by_position(None, upto, at.position, max_events, None), max_bytes
            )
            return events, complete and len(events) < max_events
        if self._walk:
            until = at.position + _WALK_FACTOR * max_events
            events, complete = await fetch_events(
                self._connection, self._table.by_position(at.seen, upto, at.position, max_events, until), max_bytes
            )
            if len(events) < max_events and complete:
                self._walk = False
            if events:
                return events, False
        statement = self._table.execute_by_transaction(at.seen, upto, at.position, max_events)
        events, complete = await fetch_events(self._connection, Query(statement, None), max_bytes)
        exhausted = complete and len(events) < max_events
        self._walk = not exhausted
        return events, exhausted
