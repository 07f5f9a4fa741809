"""How far the stream is behind the outbox, defined once for leader, standby, metrics, status and alerts.

- *Covered*: rows that the cursor of the stream's last message says are delivered (published, or parked).
- *Oldest unpublished age*: now − the least `recorded_at` of all committed rows not covered; 0 when all are.
- *Backlog*: how many committed rows are not covered, counted up to a limit; the age is that of the rows counted.

Whoever measures reads the stream and the table itself, so a standby sees the lag of a leader that is dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
import structlog

from relay.adoption_record import AdoptionRecords
from relay.cursor import HEADER, Cursor, CursorError, PollCursor, WalCursor, parse
from relay.database import configure, connect
from relay.errors import Refused
from relay.jetstream_api import JetStreamApi, StreamApiError
from relay.nats_connection import NATS_ERRORS, NatsConnection, NatsOptions
from relay.outbox_columns import ColumnNames
from relay.outbox_table import PLANNER_SETTINGS, OutboxTable, Query, TableName, find_table
from relay.replication_slot import slot_prefix
from relay.slot_watch import LogUse, log_use
from relay.snapshot import Snapshot
from relay.stream_position import long_cursor

_log = structlog.get_logger(__name__)

MEASURE_SECONDS = 1.0
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
    """One measurement. `oldest_recorded_at` in µs, None when nothing is uncovered; `clock_offset` is the database's
    clock minus ours, in seconds; `capped` says that there are more than `backlog` rows; `stream_used` is the stream's
    bytes over its limit."""

    backlog: int
    capped: bool
    oldest_recorded_at: int | None
    clock_offset: float
    cursor: str | None
    stream_sequence: int
    stream_used: float
    measured_at: float
    log: LogUse

    def oldest_age(self, now: float) -> float:
        """Seconds at our time `now`. It goes on growing while nobody can measure."""
        if self.oldest_recorded_at is None:
            return 0.0
        return max(0.0, now + self.clock_offset - self.oldest_recorded_at / 1e6)


async def uncovered(
    connection: psycopg.AsyncConnection[Any],
    table: OutboxTable,
    cursor: Cursor,
    limit: int,
    covered: Sequence[int] = (),
) -> tuple[int, int | None]:
    """(rows, least recorded_at in µs) that are committed and not covered by `cursor` nor of the transactions `covered`,
    counting up to `limit`."""
    row = await (await connection.execute("SELECT pg_current_snapshot()::text")).fetchone()
    assert row is not None
    now = Snapshot.parse(row[0])
    if isinstance(cursor, WalCursor):
        # What came behind the checkpoint counts as not covered until the next one, half a second later.
        covered = cursor.checkpoint.transactions
        cursor = PollCursor(cursor.epoch, cursor.checkpoint.snapshot)
    seen, upto, position = cursor.seen, cursor.upto, cursor.position
    counts: list[tuple[int, int | None]] = []
    if seen is None and upto is None:
        counts.append(await _count(connection, table.counted(table.by_position(None, now, 0, limit, None))))
    elif upto is not None:
        # The rest of a backlog begins right behind the position; where it does not, the index finds it.
        until = position + _WALK_FACTOR * limit if seen else None
        counts.append(await _count(connection, table.counted(table.by_position(seen, upto, position, limit, until))))
        if counts[0][0] == 0 and seen is not None:
            counts = [await _count(connection, table.counted(table.by_transaction(seen, upto, position, limit)))]
    known = upto or seen
    if known is not None and not known.sees_as_much_as(now):
        counts.append(await _count(connection, table.count_since(known, now, limit, covered)))
    oldest = [one for _, one in counts if one is not None]
    return min(sum(count for count, _ in counts), limit), min(oldest) if oldest else None


async def _count(connection: psycopg.AsyncConnection[Any], query: Query) -> tuple[int, int | None]:
    row = await (await connection.execute(query.text, query.parameters)).fetchone()
    assert row is not None
    return row[0], row[1]


class LagObserver:
    """Measures once a second over connections of its own, whether this relay leads or not."""

    def __init__(
        self,
        *,
        database_url: str,
        table: TableName,
        columns: ColumnNames,
        nats: NatsOptions,
        stream: str,
        on_error: Callable[[str], None],
        covering: Callable[[], tuple[Snapshot, Sequence[int]] | None] = lambda: None,
        comparable: Callable[[int], bool] = lambda epoch: True,
    ) -> None:
        self._url = database_url
        self._name = table
        self._columns = columns
        self._nats = nats
        self._stream = stream
        self._on_error = on_error
        self._covering = covering
        self._comparable = comparable
        self._records = AdoptionRecords(table, stream)
        self._slots = slot_prefix(str(table), stream)
        self._floor_epoch = -1
        self._cursor: Cursor = PollCursor(0)
        self._cursor_text: str | None = None
        self._sequence = 0
        self._used = 0.0
        self.latest: Lag | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Measures until `stop` is set; failures are told and tried again."""
        while not stop.is_set():
            try:
                await self._observe(stop)
            except (psycopg.Error, Refused, StreamApiError, CursorError, *NATS_ERRORS) as error:
                self._on_error(str(error).strip() or type(error).__name__)
                await _sleep(stop, MEASURE_SECONDS)

    def page(self) -> dict[str, Any]:
        """For `/lagz`."""
        lag = self.latest
        if lag is None:
            return dict.fromkeys(_UNKNOWN, None)
        return {
            "oldest_unpublished_age_seconds": round(lag.oldest_age(time.time()), 3),
            "backlog_events": lag.backlog,
            "backlog_capped": lag.capped,
            "last_stored_cursor": lag.cursor,
            "last_stored_sequence": lag.stream_sequence,
            "stream_used_ratio": round(lag.stream_used, 4),
            "behind_bytes": lag.log.behind_bytes,
            "slot": lag.log.slot.as_dict() if lag.log.slot is not None else None,
            "lag_measured_at": datetime.fromtimestamp(lag.measured_at, UTC).isoformat(timespec="milliseconds"),
        }

    async def _observe(self, stop: asyncio.Event) -> None:
        async with contextlib.AsyncExitStack() as stack:
            connection = await connect(self._url, "tandem-relay lag")
            stack.push_async_callback(connection.close)
            await configure(connection, {**PLANNER_SETTINGS, "statement_timeout": f"{_QUERY_SECONDS:.0f}s"})
            table = await find_table(connection, self._name, self._columns)
            self._floor_epoch = -1
            nats: NatsConnection | None = None
            while not stop.is_set():
                try:
                    if nats is None:
                        nats = await NatsConnection.open(self._nats, "tandem-relay lag")
                        stack.push_async_callback(nats.end)
                    await self._read_cursor(JetStreamApi(nats))
                except (StreamApiError, CursorError, *NATS_ERRORS) as error:
                    # The last cursor known is a lower bound: what is measured against it is no less than the truth.
                    self._on_error(f"lag: {str(error) or type(error).__name__}")
                    nats = None
                await self._measure(connection, table)
                await _sleep(stop, MEASURE_SECONDS)

    async def _read_cursor(self, api: JetStreamApi) -> None:
        info = await api.stream_info(self._stream)
        if info is None:
            return
        self._used = info.used_ratio
        message = await api.last_message(self._stream)
        if message is None or HEADER not in message.headers:
            return
        text = await long_cursor(api, self._stream, message)
        self._cursor, self._cursor_text, self._sequence = parse(text), text, message.sequence

    async def _measure(self, connection: psycopg.AsyncConnection[Any], table: OutboxTable) -> None:
        before = time.time()
        row = await (
            await connection.execute("SELECT extract(epoch FROM clock_timestamp())::double precision")
        ).fetchone()
        assert row is not None
        offset = row[0] - (before + time.time()) / 2
        cursor: Cursor = self._cursor
        if not self._comparable(cursor.epoch):
            self.latest = None  # what is behind cannot be known before the source is adopted
            return
        if cursor.epoch != self._floor_epoch:
            table.floor = await self._records.floor(connection, cursor.epoch)
            self._floor_epoch = cursor.epoch
        covered: Sequence[int] = ()
        if (known := self._covering()) is not None:
            # The leader knows more than the stream's last cursor tells: what it has stored behind the checkpoint.
            cursor, covered = PollCursor(0, known[0]), known[1]
        count, oldest = await uncovered(connection, table, cursor, BACKLOG_LIMIT, covered)
        log = await log_use(connection, self._slots, self._cursor)
        self.latest = Lag(
            count,
            count >= BACKLOG_LIMIT,
            oldest,
            offset,
            self._cursor_text,
            self._sequence,
            self._used,
            time.time(),
            log,
        )


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
