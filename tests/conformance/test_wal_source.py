"""The source that reads the log, on a real Postgres: the suite of all sources, its mutants, and its own promises."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import psycopg
import pytest

from relay.events.columns import ColumnNames
from relay.events.cursor import Cursor, WalCursor
from relay.events.errors import LogUnavailable
from relay.events.event import OutboxEvent
from relay.events.snapshot import Snapshot
from relay.events.source import Batch, Mode
from relay.outbox.database import connect
from relay.outbox.publication import publication_name
from relay.outbox.table import TableName
from relay.wal.pgoutput import read_begin
from relay.wal.reader import IDLE_SECONDS, WalReader, new_cursor
from relay.wal.replication_connection import HEADER
from relay.wal.slot import drop_slots, slots_of, take_slot
from relay.wal.slot_creation import create_slot
from relay.wal.source import WalSource
from relay.wal.tuple_decoder import find_layout
from tests.conformance.event_source_suite import ANY, OpenSource, Quota, read_with_crashes, until_shown
from tests.conformance.test_poll_source import two_phase_commit_possible
from tests.fixtures.postgres import database
from tests.fixtures.private_servers import PrivatePostgres
from tests.support.chance import new_seed, tell
from tests.support.relay.judge import Verdict, judge
from tests.support.relay.tables import FOREIGN, FOREIGN_TABLE, INSERT_FOREIGN, OUTBOX, create, foreign_columns
from tests.support.relay.writers import Ledger, Writers

INSERT = "INSERT INTO outbox (aggregate_id, aggregate_version) SELECT gen_random_uuid(), 1 FROM generate_series(1, %s)"

ONE = "6d0cbd4a-9d0f-4e0b-8d5e-2b1f6f5f9f11"


class OneSlot:
    """The log as a source that never polls."""

    mode = Mode("wal")

    def __init__(self, log: WalSource) -> None:
        self._log = log
        self._ends = AsyncExitStack()
        self._wake: Callable[[], None] = lambda: None

    async def resume(self, cursor: Cursor) -> None:
        assert isinstance(cursor, WalCursor)
        self.reader = await self._log.open(cursor, self._wake)
        self._ends.push_async_callback(self.reader.close)

    async def read(self, max_events: int, max_bytes: int) -> Batch:
        return await self.reader.read(max_events, max_bytes)

    def stored(self, cursor: Cursor) -> None:
        self.reader.stored(cursor)

    def covering(self) -> tuple[Snapshot, Sequence[int]] | None:
        return self.reader.covering()

    def idle_seconds(self) -> float:
        return IDLE_SECONDS

    def notify(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    async def close(self) -> None:
        await self._ends.aclose()


class Log:
    """One slot of a database: where it begins, and sources that read it."""

    def __init__(self, url: str, table: TableName, columns: ColumnNames) -> None:
        self.url, self.table, self.columns = url, table, columns
        self.publication = publication_name(table.schema or "public", table.name)
        self.prefix = f"tandem_test_{secrets.token_hex(4)}_"

    async def begin(self) -> WalCursor:
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            checkpoint = await create_slot(connection, self.url, self.prefix, self.publication, self.table)
            self.layout = await find_layout(connection, self.table, self.columns)
        self.beginning = new_cursor(1, checkpoint)
        return self.beginning

    def source(self, connection: psycopg.AsyncConnection[Any], kind: type[WalReader] = WalReader) -> OneSlot:
        return OneSlot(WalSource(self.layout, connection, self.url, self.publication, kind))

    @asynccontextmanager
    async def reading(
        self, cursor: WalCursor | None = None, kind: type[WalReader] = WalReader
    ) -> AsyncIterator[OneSlot]:
        connection = await connect(self.url, "source under test")
        source = self.source(connection, kind)
        try:
            await source.resume(cursor or self.beginning)
            yield source
        finally:
            await source.close()
            await connection.close()

    async def drop(self) -> None:
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            await drop_slots(connection, await slots_of(connection, self.prefix))


@asynccontextmanager
async def a_log(
    url: str, ddl: str = OUTBOX, table: str = "outbox", columns: ColumnNames | None = None
) -> AsyncIterator[Log]:
    await create(url, ddl)
    log = Log(url, TableName.parse(table), columns or ColumnNames.default())
    await log.begin()
    try:
        yield log
    finally:
        await log.drop()


async def relayed(
    log: Log,
    *,
    seconds: float,
    kind: type[WalReader] = WalReader,
    crash_every: float = 0.7,
    enough: Quota = ANY,
    **writers: Any,
) -> tuple[Verdict, Ledger, int]:
    seed = new_seed()
    work = Writers(log.url, seed=seed, prepare=await two_phase_commit_possible(log.url), **writers)
    open_source: OpenSource = lambda connection: log.source(connection, kind)  # noqa: E731
    async with (
        read_with_crashes(log.url, open_source, seed, crash_every=crash_every, beginning=log.beginning) as stored,
        work.writing() as ledger,
    ):
        await asyncio.sleep(seconds)
        await enough.reached(stored, ledger)
    verdict = judge(ledger.committed, stored.events)
    tell(f"{verdict}, {ledger.rolled_back} rolled back, {ledger.prepared} prepared, {ledger.held} held,"
         f" {stored.crashes} crashes, {stored.reads} reads of which {stored.nonempty} found rows")  # fmt: skip
    return verdict, ledger, stored.crashes


async def read_until(source: OneSlot, done: Callable[[list[OutboxEvent], Batch], bool], seconds: float = 120.0,
                     most: int = 1_000) -> list[OutboxEvent]:  # fmt: skip
    """Reads, as the publish loop would, until `done(events so far, batch)`."""
    events: list[OutboxEvent] = []
    deadline = time.monotonic() + seconds
    while True:
        batch = await source.read(most, 4 << 20)
        events += batch.events
        if done(events, batch):
            return events
        assert time.monotonic() < deadline, f"{len(events)} events only"
        await asyncio.sleep(0 if batch.more else 0.005)


@pytest.mark.parametrize("aggregates", [4, 1000])
async def test_all_once_in_order_through_crashes(postgres_database: str, aggregates: int) -> None:
    async with a_log(postgres_database) as log:
        enough = Quota(events=500, crashes=3, rolled_back=5, held=3)
        verdict, _, _ = await relayed(log, seconds=0, enough=enough, aggregates=aggregates)
    assert verdict.clean, verdict


async def test_a_foreign_table_too(postgres_database: str) -> None:
    async with a_log(postgres_database, FOREIGN, FOREIGN_TABLE, foreign_columns()) as log:
        verdict, _, _ = await relayed(log, seconds=0, enough=Quota(events=300), insert=INSERT_FOREIGN)
    assert verdict.clean, verdict


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("aggregates", [4, 100, 5000])
async def test_all_once_in_order_for_long(postgres_database: str, aggregates: int) -> None:
    async with a_log(postgres_database) as log:
        enough = Quota(events=10_000, crashes=40, rolled_back=100, held=60)
        verdict, _, _ = await relayed(log, seconds=120, enough=enough, aggregates=aggregates, count=24)
    assert verdict.clean, verdict


class PassesOverByLsn(WalReader):
    """Mutant: what commits at or before the last LSN counts as delivered, whatever the index says."""

    def _begin(self, data: bytes) -> int:
        delivered = super()._begin(data)
        return 1 << 62 if read_begin(data, HEADER).commit_lsn <= self._resume_lsn else delivered


class PassesOverNothing(WalReader):
    """Mutant: what the server sends again is delivered again."""

    def _begin(self, data: bytes) -> int:
        super()._begin(data)
        return 0


class ConfirmsWhatItRead(WalReader):
    """Mutant: the slot is moved on before anything is stored."""

    async def read(self, max_events: int, max_bytes: int) -> Batch:
        batch = await super().read(max_events, max_bytes)
        self._replication.confirm(self._cursor.commit_lsn)
        return batch

    async def close(self) -> None:
        await asyncio.sleep(1.1)  # the mutant's feedback goes out, what it read last is not stored
        await super().close()


async def attempted(postgres_url: str, kind: type[WalReader]) -> Verdict:
    """A short run of a mutant with a log of its own; it has crashed often enough to show what it is."""
    async with database(postgres_url) as url, a_log(url) as log:
        enough = Quota(events=200, crashes=6)
        verdict, _, _ = await relayed(log, seconds=0, kind=kind, crash_every=0.2, enough=enough, aggregates=1000)
    return verdict


@pytest.mark.mutant
async def test_mutant_passing_over_by_lsn_loses_events(postgres_url: str) -> None:
    verdict = await until_shown(lambda: attempted(postgres_url, PassesOverByLsn), lambda verdict: verdict.lost > 0)
    assert verdict.repeated == 0


@pytest.mark.mutant
async def test_mutant_passing_over_nothing_repeats_events(postgres_url: str) -> None:
    await until_shown(lambda: attempted(postgres_url, PassesOverNothing), lambda verdict: verdict.repeated > 0)


@pytest.mark.mutant
async def test_mutant_confirming_what_is_not_stored_is_found_ahead_of_the_stream(postgres_url: str) -> None:
    """The server would pass over the gap without a word; the slot's position tells."""

    async def attempt() -> str:
        async with database(postgres_url) as url, a_log(url) as log:
            try:
                enough = Quota(crashes=6)
                await relayed(log, seconds=0, kind=ConfirmsWhatItRead, crash_every=0.3, enough=enough, aggregates=1000)
            except LogUnavailable as problem:
                return str(problem)
        return "nothing"

    await until_shown(attempt, lambda said: "ahead of the stream" in said)


@pytest.mark.mutant
async def test_mutant_confirming_what_is_not_stored_loses_events_where_nobody_looks(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def trusting(connection: psycopg.AsyncConnection[Any], name: str, checkpoint_lsn: int) -> None:
        await take_slot(connection, name, 1 << 63)

    monkeypatch.setattr("relay.wal.source.take_slot", trusting)
    await until_shown(lambda: attempted(postgres_url, ConfirmsWhatItRead), lambda verdict: verdict.lost > 0)


ROWS_OF_ONE = 3


async def one_that_waits(
    writer: psycopg.AsyncConnection[Any], admin: psycopg.AsyncConnection[Any]
) -> tuple[asyncio.Task[Any], int]:
    """A transaction of three rows that waits for a standby, and how many it took: the server's processes learn of new
    settings one by one, and whoever commits before the last of them does not wait."""
    transactions = 0
    while True:
        transactions += 1
        waiting = asyncio.create_task(writer.execute(INSERT, [ROWS_OF_ONE]))
        while not waiting.done():
            found = await admin.execute(
                "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event = 'SyncRep'", [writer.info.backend_pid]
            )
            if found.rowcount:
                return waiting, transactions
            await asyncio.sleep(0.01)
        await waiting


async def test_a_transaction_that_waits_for_a_standby_is_listed_until_it_is_seen(
    private_postgres: PrivatePostgres,
) -> None:
    """The log has its commit, no snapshot sees it yet: a poll that took over now would find it a second time later."""
    server = await private_postgres()
    url = await server.ensure_database("waiting")
    async with (
        a_log(url) as log,
        log.reading() as source,
        await psycopg.AsyncConnection.connect(url, autocommit=True) as writer,
        await psycopg.AsyncConnection.connect(url, autocommit=True) as admin,
    ):
        await admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        await admin.execute("SELECT pg_reload_conf()")
        waiting, transactions = await one_that_waits(writer, admin)
        rows = ROWS_OF_ONE * transactions
        events = await read_until(source, lambda events, _: len(events) == rows)
        checkpoints: list[WalCursor] = []

        def checkpoint_with(count: int) -> Callable[[list[OutboxEvent], Batch], bool]:
            def done(_: list[OutboxEvent], batch: Batch) -> bool:
                if batch.reached is not None:
                    assert isinstance(batch.reached.cursor, WalCursor)
                    checkpoints.append(batch.reached.cursor)
                return bool(checkpoints) and len(checkpoints[-1].checkpoint.transactions) == count

            return done

        await read_until(source, checkpoint_with(1))
        here = checkpoints[-1].checkpoint
        assert here.transactions == (int(events[-1].transaction_id),)
        assert not here.snapshot.sees(here.transactions[0])
        assert not waiting.done()
        await admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
        await admin.execute("SELECT pg_reload_conf()")
        await waiting
        await read_until(source, checkpoint_with(0))
        assert checkpoints[-1].checkpoint.snapshot.sees(here.transactions[0])


async def test_an_invented_checkpoint_is_passed_over(postgres_database: str) -> None:
    """Anybody may write such messages; only ours count."""
    async with a_log(postgres_database) as log, log.reading() as source:
        async with await psycopg.AsyncConnection.connect(postgres_database, autocommit=True) as stranger:
            await stranger.execute("SELECT pg_logical_emit_message(false, 'tandem.cursor', 'x;1;9:9:;none')")
            await stranger.execute("SELECT pg_logical_emit_message(true, 'tandem.cursor', 'x')")
            await stranger.execute("SELECT pg_logical_emit_message(false, 'tandem.cursor', '\xff00'::bytea)")
            await stranger.execute(INSERT, [2])
        events = await read_until(source, lambda events, batch: len(events) == 2 and batch.reached is not None)
        assert len(events) == 2


async def test_what_arrives_between_two_reads_keeps_its_place(postgres_database: str) -> None:
    """The socket is watched while nothing is there; what the watcher reads ahead must not be overtaken."""
    async with a_log(postgres_database) as log, log.reading() as source:
        events: list[OutboxEvent] = []
        with psycopg.connect(postgres_database, autocommit=True) as writer:

            def write(first: int) -> None:
                """Blocks the loop until the rows are at the socket: nobody in this process has been told of them."""
                writer.execute(
                    "INSERT INTO outbox (aggregate_id, aggregate_version) SELECT %s, generate_series(%s::int, %s)",
                    [ONE, first, first + 2],
                )
                written = writer.execute("SELECT pg_current_wal_flush_lsn()").fetchone()
                behind = "SELECT count(*) FROM pg_stat_replication WHERE sent_lsn < %s"
                deadline = time.monotonic() + 1  # the server must hear of us; a row that comes later shows nothing
                while writer.execute(behind, written).fetchone() != (0,) and time.monotonic() < deadline:
                    time.sleep(0.001)

            for first in range(1, 91, 6):
                events += await read_until(source, lambda _, batch: not batch.more)
                write(first)
                events += (await source.read(1, 4 << 20)).events
                write(first + 3)
                for _ in range(3):
                    await asyncio.sleep(0)
                events += (await source.read(1, 4 << 20)).events
        if len(events) < 90:
            events += await read_until(source, lambda found, _: len(events) + len(found) == 90)
    assert [event.aggregate_version for event in events] == list(range(1, 91))
