"""Measures how far the stream lags behind the outbox, for leader, standby, metrics, status and alerts alike.

- *Covered*: rows that the cursor of the stream's last message says are delivered (published, or parked).
- *Oldest unpublished age*: now − the least `recorded_at` of all committed rows not covered; 0 when all are.
- *Backlog*: how many committed rows are not covered, counted up to a limit; the age is that of the rows counted.

Each relay reads the stream and the table itself, so a standby sees the lag even if the leader is dead. A leader also
knows its own lag more exactly, and between measurements (`own_lag`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from relay.events.columns import ColumnNames
from relay.events.cursor import Cursor, PollCursor, WalCursor
from relay.events.errors import Refused
from relay.events.snapshot import Snapshot
from relay.events.utc_time import utc_text
from relay.lag.own_lag import OwnLag
from relay.lag.standby_coverage import StandbyCoverage
from relay.outbox.adoption_record import AdoptionRecords
from relay.outbox.database import DatabaseConnection, configure, connect
from relay.outbox.table import PLANNER_SETTINGS, OutboxTable, Query, TableName, find_table
from relay.stream.end import StreamEnd
from relay.stream.nats_connection import NatsOptions
from relay.wal.slot import slot_prefix
from relay.wal.slot_watch import LogUse, log_use
from service_runtime.error_text import in_one_line
from service_runtime.process import cancel

MEASURE_SECONDS = 1.0
#: How often to check whether a leader does not know its lag, or a standby's last measurement is outdated.
LOOK_SECONDS = 0.05
#: While a standby reports a lag, it re-reads the stream's end every READ_SECONDS. It re-measures every LAGGING_SECONDS
#: if the end advanced or the lag exceeds MUCH_SECONDS, and at once if both are true. The reported lag may be wrong by
#: as much as these times.
READ_SECONDS, LAGGING_SECONDS, MUCH_SECONDS = 0.1, 0.3, 0.7
BACKLOG_LIMIT = 10_000
_QUERY_SECONDS = 10.0
_WALK_FACTOR = 100
_UNKNOWN = (
    "oldest_unpublished_age_seconds",
    "backlog_events",
    "backlog_capped",
    "behind_bytes",
    "slot",
    "lag_measured_at",
)


@dataclass(frozen=True, slots=True)
class Lag:
    """One measurement of the lag.

    `oldest_recorded_at` is in µs since 1970; None if no row is uncovered. `clock_offset` is the database's clock minus
    ours, in seconds. `capped` says that counting stopped at `backlog` rows and there may be more. `stream_used` is the
    stream's bytes divided by its limit.
    """

    backlog: int
    capped: bool
    oldest_recorded_at: int | None
    clock_offset: float
    cursor: Cursor | None
    stream_sequence: int
    stream_used: float
    measured_at: float
    log: LogUse

    def database_time(self, now: float) -> int:
        """Returns the time of the database's clock at our time `now`, in µs since 1970."""
        return int((now + self.clock_offset) * 1e6)

    def oldest_age(self, now: float) -> float:
        """Returns the age of the oldest unpublished event at our time `now`, in seconds; 0 if there is none.

        If measurements fail, the age keeps growing.
        """
        if self.oldest_recorded_at is None:
            return 0.0
        return max(0.0, now + self.clock_offset - self.oldest_recorded_at / 1e6)


async def uncovered(
    connection: DatabaseConnection,
    table: OutboxTable,
    cursor: Cursor,
    limit: int,
    covered: Sequence[int] = (),
    now: Snapshot | None = None,
) -> tuple[int, int | None]:
    """Returns (rows, least recorded_at in µs) committed by `now` and not covered, counting up to `limit`.

    A row is covered if `cursor` covers it, or if its transaction is in `covered`. If `now` is None, it is the current
    snapshot. For a cursor of the log, its checkpoint is used, with the transactions of the checkpoint as `covered`.
    """
    now = now or await _snapshot(connection)
    if isinstance(cursor, WalCursor):
        # Events after the checkpoint count as not covered until the next checkpoint, half a second later.
        covered = cursor.checkpoint.transactions
        cursor = PollCursor(cursor.epoch, cursor.checkpoint.snapshot)
    seen, upto, position = cursor.seen, cursor.upto, cursor.position
    counts: list[tuple[int, int | None]] = []
    if seen is None and upto is None:
        counts.append(await _count(connection, table.counted(table.by_position(None, now, 0, limit, None))))
    elif upto is not None:
        # Usually the rest of a backlog begins right after the position. If it does not, the index finds it.
        until = position + _WALK_FACTOR * limit if seen else None
        counts.append(await _count(connection, table.counted(table.by_position(seen, upto, position, limit, until))))
        if counts[0][0] == 0 and seen is not None:
            counts = [await _count(connection, table.counted(table.by_transaction(seen, upto, position, limit)))]
    known = upto or seen
    if known is not None and not known.sees_as_much_as(now):
        counts.append(await _count(connection, table.count_since(known, now, limit, covered)))
    oldest = [one for _, one in counts if one is not None]
    return min(sum(count for count, _ in counts), limit), min(oldest) if oldest else None


async def _snapshot(connection: DatabaseConnection) -> Snapshot:
    row = await (await connection.execute("SELECT pg_current_snapshot()::text")).fetchone()
    assert row is not None
    return Snapshot.parse(row[0])


async def _count(connection: DatabaseConnection, query: Query) -> tuple[int, int | None]:
    row = await (await connection.execute(query.text, query.parameters)).fetchone()
    assert row is not None
    return row[0], row[1]


class LagObserver:
    """Measures the lag over its own connections to Postgres and NATS, whether or not this relay leads.

    It measures once a second. It measures earlier if a leader does not know its lag, or if a standby reports a lag
    while the stream advances. It calls `on_error` for each failed measurement, and if the stream cannot be read.
    """

    def __init__(
        self,
        *,
        database_url: str,
        table: TableName,
        columns: ColumnNames,
        nats: NatsOptions,
        stream: str,
        own: OwnLag,
        on_error: Callable[[], None],
    ) -> None:
        self._url = database_url
        self._name = table
        self._columns = columns
        self._end = StreamEnd(nats, stream)
        self._end_read = 0.0
        self._reading: asyncio.Task[None] | None = None
        self._own = own
        self._on_error = on_error
        self._failure: tuple[str, float] | None = None
        self._records = AdoptionRecords(table, stream)
        self._slots = slot_prefix(str(table), stream)
        self._floor_epoch = -1
        self._coverage = StandbyCoverage()
        self._measured_in_session = False
        self.latest: Lag | None = None

    async def run(self) -> None:
        """Measures until cancelled. After a failure, reports it and tries again."""
        try:
            while True:
                try:
                    await self._observe()
                except (psycopg.Error, Refused, OSError, TimeoutError) as error:
                    self._failed(in_one_line(error))
                    await asyncio.sleep(MEASURE_SECONDS)
        finally:
            if self._reading is not None:
                await cancel(self._reading)
            await self._end.close()

    def oldest_age(self, now: float) -> float | None:
        """Returns the age of the oldest unpublished event at our time `now`, in seconds; 0 if there is none.

        None while there is no measurement. If this relay leads, its session's knowledge corrects the last measurement.
        """
        lag = self.latest
        if lag is None:
            return None
        oldest = self._own.oldest(
            lag.database_time(now), lag.oldest_recorded_at, measured_in_session=self._measured_in_session
        )
        return replace(lag, oldest_recorded_at=oldest).oldest_age(now)

    def page(self) -> dict[str, Any]:
        """Returns the lag as fields of the page `/lagz`; all are None while there is no measurement."""
        lag, now = self.latest, time.time()
        age = self.oldest_age(now)
        if lag is None or age is None:
            return dict.fromkeys(_UNKNOWN, None)
        return {
            "oldest_unpublished_age_seconds": round(age, 3),
            "backlog_events": lag.backlog,
            "backlog_capped": lag.capped,
            "last_stored_cursor": lag.cursor.text if lag.cursor is not None else None,
            "last_stored_sequence": lag.stream_sequence,
            "stream_used_ratio": round(lag.stream_used, 4),
            "behind_bytes": lag.log.behind_bytes,
            "slot": lag.log.slot.as_dict() if lag.log.slot is not None else None,
            "lag_measured_at": utc_text(lag.measured_at),
        }

    def failure(self) -> dict[str, Any]:
        """Returns the last failed measurement as fields of the page `/lagz`; both are None if none has failed.

        The page shows them if the relay itself has no error to show.
        """
        reason, seconds = self._failure or (None, None)
        return {"last_error": reason, "last_error_at": utc_text(seconds) if seconds is not None else None}

    def _failed(self, reason: str) -> None:
        self._failure = reason, time.time()
        self._on_error()

    async def _observe(self) -> None:
        connection = await connect(self._url, "tandem-relay lag")
        try:
            await configure(connection, {**PLANNER_SETTINGS, "statement_timeout": f"{_QUERY_SECONDS:.0f}s"})
            table = await find_table(connection, self._name, self._columns)
            self._floor_epoch = -1
            while True:
                await self._look_at_stream()
                await self._measure(connection, table)
                await self._pause()
        finally:
            await connection.close()

    async def _look_at_stream(self, period: float = MEASURE_SECONDS / 2) -> None:
        """Begins to read the stream's end, unless that was begun within the last `period` seconds.

        Only a standby waits for the result, and for half a second at most. While NATS does not answer, nothing is
        stored, so the end that the standby read last is still right.
        """
        if time.monotonic() < self._end_read + period:
            return
        if self._reading is None or self._reading.done():
            self._end_read = time.monotonic()
            self._reading = asyncio.create_task(self._read_end())
        if not self._own.leading:
            await asyncio.wait([self._reading], timeout=MEASURE_SECONDS / 2)

    async def _read_end(self) -> None:
        if (problem := await self._end.read()) is not None:
            self._failed(f"lag: {problem}")

    async def _pause(self) -> None:
        due = time.monotonic() + MEASURE_SECONDS
        while time.monotonic() < due:
            await asyncio.sleep(LOOK_SECONDS)
            if self._cannot_tell() or await self._is_outdated():
                return

    async def _is_outdated(self) -> bool:
        """Returns whether a standby reports a lag that may have become smaller since the measurement."""
        lag, age = self.latest, self.oldest_age(time.time())
        if lag is None or age is None or lag.backlog == 0 or self._own.leading:
            return False
        await self._look_at_stream(READ_SECONDS)
        moved, much = self._end.sequence != lag.stream_sequence, age > MUCH_SECONDS
        return (moved and much) or ((moved or much) and time.time() - lag.measured_at > LAGGING_SECONDS)

    def _cannot_tell(self) -> bool:
        """Returns whether a leader needs a new measurement to know its lag."""
        lag = self.latest
        return lag is not None and not self._own.tells(
            lag.database_time(time.time()),
            measured_backlog=lag.backlog > 0,
            measured_in_session=self._measured_in_session,
        )

    async def _measure(self, connection: DatabaseConnection, table: OutboxTable) -> None:
        in_session = self._own.in_session
        before = time.time()
        row = await (
            await connection.execute("SELECT extract(epoch FROM clock_timestamp())::double precision")
        ).fetchone()
        assert row is not None
        offset = row[0] - (before + time.time()) / 2
        end = self._end
        cursor: Cursor = end.cursor or PollCursor(0)
        # A leader knows more than the stream's last cursor says: which events it has stored after the checkpoint.
        stored, known = self._own.stored()
        if not self._own.comparable(cursor.epoch) or (end.orphaned and stored is None and known is None):
            self.latest = None  # the lag cannot be known before the source is adopted, or a relay publishes
            return
        if cursor.epoch != self._floor_epoch:
            table.floor = await self._records.floor(connection, cursor.epoch)
            self._floor_epoch = cursor.epoch
        covered: Sequence[int] = ()
        if known is not None:
            cursor, covered = PollCursor(0, known[0]), known[1]
        elif stored is not None:
            cursor = stored
        now = await _snapshot(connection)
        count, oldest = await uncovered(connection, table, cursor, BACKLOG_LIMIT, covered, now)
        if not self._own.leading:
            if self._coverage.learn(cursor, count, now):
                count, oldest = 0, None
            elif (better := self._coverage.better_than(cursor)) is not None:
                count, oldest = await uncovered(connection, table, better, BACKLOG_LIMIT, (), now)
        log = await log_use(connection, self._slots, end.cursor)
        self._measured_in_session = in_session
        self.latest = Lag(
            count, count >= BACKLOG_LIMIT, oldest, offset, end.cursor, end.sequence, end.used_ratio, time.time(), log
        )
