"""The polled source on a real Postgres: nothing lost, repeated or out of order; its mutants are caught."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sized
from typing import Any

import psycopg
import pytest

from relay.events.columns import ColumnNames
from relay.events.cursor import END, PollCursor
from relay.events.event import OutboxEvent
from relay.events.snapshot import Snapshot
from relay.events.source import Batch, Checkpoint
from relay.outbox.fetch_events import fetch_events
from relay.outbox.table import OutboxTable, Query, TableName, find_table
from relay.sources.poll import PollSource
from tests.conformance.event_source_suite import ANY, OpenSource, Quota, read_with_crashes, until_shown
from tests.fixtures.postgres import database
from tests.support.chance import new_seed, tell
from tests.support.relay.judge import Verdict, judge
from tests.support.relay.tables import FOREIGN, FOREIGN_TABLE, INSERT_FOREIGN, OUTBOX, create, foreign_columns
from tests.support.relay.writers import Ledger, Writers


async def outbox_table(url: str, name: str = "outbox", columns: ColumnNames | None = None) -> OutboxTable:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        return await find_table(connection, TableName.parse(name), columns or ColumnNames.default())


async def two_phase_commit_possible(url: str) -> bool:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        row = await (await connection.execute("SHOW max_prepared_transactions")).fetchone()
        return row is not None and int(row[0]) >= 50


async def relayed(
    url: str,
    open_source: OpenSource,
    *,
    seconds: float,
    seed: int,
    crash_every: float = 0.5,
    enough: Quota = ANY,
    **writers: Any,
) -> tuple[Verdict, Ledger, int]:
    work = Writers(url, seed=seed, prepare=await two_phase_commit_possible(url), **writers)
    async with read_with_crashes(url, open_source, seed, crash_every=crash_every) as log, work.writing() as ledger:
        await asyncio.sleep(seconds)
        await enough.reached(log, ledger)
    verdict = judge(ledger.committed, log.events)
    tell(f"{verdict}, {ledger.rolled_back} rolled back, {ledger.prepared} prepared, {ledger.held} held,"
         f" {log.crashes} crashes, {log.reads} reads of which {log.nonempty} found rows")  # fmt: skip
    return verdict, ledger, log.crashes


@pytest.mark.parametrize("aggregates", [4, 1000])
async def test_all_once_in_order_through_crashes(postgres_database: str, aggregates: int) -> None:
    await create(postgres_database, OUTBOX)
    table = await outbox_table(postgres_database)
    verdict, _, _ = await relayed(
        postgres_database,
        lambda c: PollSource(table, c, 1),
        seconds=0,
        seed=new_seed(),
        enough=Quota(events=500, crashes=2, rolled_back=5, held=2),
        aggregates=aggregates,
    )
    assert verdict.clean, verdict


async def test_a_foreign_table_too(postgres_database: str) -> None:
    await create(postgres_database, FOREIGN)
    table = await outbox_table(postgres_database, FOREIGN_TABLE, foreign_columns())
    verdict, _, _ = await relayed(
        postgres_database,
        lambda c: PollSource(table, c, 1),
        seconds=0,
        seed=new_seed(),
        enough=Quota(events=300),
        insert=INSERT_FOREIGN,
    )
    assert verdict.clean, verdict


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("aggregates", [4, 100, 5000])
async def test_all_once_in_order_for_long(postgres_database: str, aggregates: int) -> None:
    await create(postgres_database, OUTBOX)
    table = await outbox_table(postgres_database)
    verdict, _, _ = await relayed(
        postgres_database,
        lambda c: PollSource(table, c, 1),
        seconds=120,
        seed=new_seed(),
        enough=Quota(events=10_000, crashes=60, rolled_back=100, held=60),
        aggregates=aggregates,
        count=24,
    )
    assert verdict.clean, verdict


#: A transaction id that no test reaches.
ALL_ENDED = (1 << 40) + 100


class IdCursorSource(PollSource):
    """Mutant: the obvious cursor, `position > last`, which passes over rows that commit late."""

    async def read(self, max_events: int, max_bytes: int) -> Batch:
        now = await self._connection.execute("SELECT (extract(epoch FROM now()) * 1000000)::bigint")
        as_of = int((await now.fetchone() or (0,))[0])
        everything = Snapshot(ALL_ENDED, ALL_ENDED)
        last = self._cursor.position
        events, _ = await fetch_events(
            self._connection, self._table.by_position(None, everything, last, max_events, None), max_bytes
        )
        self._cursor = PollCursor(1, None, everything, events[-1].position if events else last)
        marks = [str(event.position) for event in events]
        before = PollCursor(1, None, everything, last)
        reached = None if events else Checkpoint(self._cursor, as_of)
        return Batch(before.base, before, events, marks, self._cursor, reached, more=False)


async def attempted(
    postgres_url: str, make: Callable[[OutboxTable, psycopg.AsyncConnection[Any]], PollSource], **writers: Any
) -> Verdict:
    """A short run of a mutant on a database of its own, that has seen what could show it."""
    async with database(postgres_url) as url:
        await create(url, OUTBOX)
        table = await outbox_table(url)
        enough = Quota(events=200, held=2)
        verdict, _, _ = await relayed(
            url, lambda c: make(table, c), seconds=0.5, seed=new_seed(), enough=enough, **writers
        )
    return verdict


@pytest.mark.mutant
async def test_mutant_cursor_by_id_loses_rows(postgres_url: str) -> None:
    verdict = await until_shown(
        lambda: attempted(postgres_url, lambda table, c: IdCursorSource(table, c, 1), aggregates=100),
        lambda verdict: verdict.lost > 0,
    )
    assert verdict.repeated == 0


class ByTransactionOrder(OutboxTable):
    """Mutant: a difference in the order of transaction ids, which is not the order of an aggregate."""

    def by_transaction(self, seen: Snapshot, upto: Snapshot, after: int, limit: int) -> Query:
        query = super().by_transaction(seen, upto, after, limit)
        return Query(
            f"SELECT * FROM ({query.text}) AS wrong ORDER BY transaction_id::bigint, position", query.parameters
        )


@pytest.mark.mutant
async def test_mutant_order_by_transaction_id_inverts(postgres_url: str) -> None:
    class Slow(PollSource):
        def idle_seconds(self) -> float:
            return 0.1

    def make(right: OutboxTable, connection: psycopg.AsyncConnection[Any]) -> PollSource:
        wrong = ByTransactionOrder.__new__(ByTransactionOrder)
        wrong.__dict__.update(right.__dict__)
        return Slow(wrong, connection, 1)

    await until_shown(
        lambda: attempted(postgres_url, make, aggregates=4, crash_every=60), lambda verdict: verdict.inverted > 0
    )


class LateSnapshot(PollSource):
    """Mutant: S1 is what is visible after reading, not before; what commits in between is in no difference."""

    async def read(self, max_events: int, max_bytes: int) -> Batch:
        batch = await super().read(max_events, max_bytes)
        if batch.reached is not None and batch.events:
            row = await (await self._connection.execute("SELECT pg_current_snapshot()::text")).fetchone()
            assert row is not None
            self._cursor = PollCursor(1, Snapshot.parse(row[0]))
        return batch


@pytest.mark.mutant
async def test_mutant_snapshot_after_the_read_loses_rows(postgres_url: str) -> None:
    await until_shown(
        lambda: attempted(postgres_url, lambda table, c: LateSnapshot(table, c, 1), aggregates=1000, crash_every=60),
        lambda verdict: verdict.lost > 0,
    )


async def read_everything(source: PollSource, max_events: int, max_bytes: int = 1 << 30) -> list[OutboxEvent]:
    events: list[OutboxEvent] = []
    while True:
        batch = await source.read(max_events, max_bytes)
        events += batch.events
        if batch.reached is not None:
            return events


async def test_plans_give_the_same_rows(postgres_database: str) -> None:
    """Nothing, a chunk, a dense backlog, a thin one, one from the start: each in order and complete."""
    await create(postgres_database, OUTBOX)
    table = await outbox_table(postgres_database)
    insert = (
        "INSERT INTO outbox (aggregate_id, aggregate_version) SELECT gen_random_uuid(), 1 FROM generate_series(1, %s)"
    )
    async with await psycopg.AsyncConnection.connect(postgres_database, autocommit=True) as writer:
        early = await psycopg.AsyncConnection.connect(postgres_database)
        await early.execute(insert, [3])
        async with await psycopg.AsyncConnection.connect(postgres_database, autocommit=True) as connection:
            source = PollSource(table, connection, 1)
            await source.resume(PollCursor(1))
            await writer.execute(insert, [2_500])
            assert [e.position for e in await read_everything(source, 1_000)] == list(range(4, 2_504))
            assert await read_everything(source, 1_000) == []
            await writer.execute(insert, [1_000])
            assert len(await read_everything(source, 1_000)) == 1_000
            # far behind: three rows at the very beginning and a dense backlog at the end, with a long way between
            await early.execute(insert, [1])
            await writer.execute("SELECT setval(pg_get_serial_sequence('outbox', 'position'), 4000000)")
            await writer.execute(insert, [5_000])
            await early.commit()
            await writer.execute("SELECT setval(pg_get_serial_sequence('outbox', 'position'), 6000000)")
            await writer.execute(insert, [1_500])
            got = [e.position for e in await read_everything(source, 1_000)]
            assert got == [1, 2, 3, 3504, *range(4_000_001, 4_005_001), *range(6_000_001, 6_001_501)]
            assert await read_everything(source, 1_000) == []
        await early.close()


async def test_a_chunk_is_bounded_in_bytes(postgres_database: str) -> None:
    await create(postgres_database, OUTBOX)
    table = await outbox_table(postgres_database)
    async with await psycopg.AsyncConnection.connect(postgres_database, autocommit=True) as connection:
        await connection.execute(
            "INSERT INTO outbox (aggregate_id, aggregate_version, payload) SELECT gen_random_uuid(), 1,"
            " ('\"' || repeat('x', 100000) || '\"')::json FROM generate_series(1, 300)"
        )
        source = PollSource(table, connection, 1)
        await source.resume(PollCursor(1))
        sizes, positions = [], []
        while True:
            batch = await source.read(1_000, 1 << 20)
            sizes.append(len(batch.events))
            positions += [event.position for event in batch.events]
            if batch.reached:
                break
        assert positions == list(range(1, 301))
        assert max(sizes) <= 11
        # the connection is as good as new after a cut
        assert (await source.read(10, 1 << 20)).reached is not None


async def test_the_last_event_of_a_difference_says_so(postgres_database: str) -> None:
    await create(postgres_database, OUTBOX)
    table = await outbox_table(postgres_database)
    async with await psycopg.AsyncConnection.connect(postgres_database, autocommit=True) as connection:
        source = PollSource(table, connection, 1)
        await source.resume(PollCursor(1))
        assert (await source.read(10, 1 << 20)).reached is not None
        await connection.execute(
            "INSERT INTO outbox (aggregate_id, aggregate_version)"
            " SELECT gen_random_uuid(), 1 FROM generate_series(1, 3)"
        )
        batch = await source.read(10, 1 << 20)
        assert batch.marks == ["1", "2", END]
        assert batch.reached is not None
        assert isinstance(batch.reached.cursor, PollCursor)
        assert batch.reached.cursor.upto is None


WRITERS = 4


async def check_barrier_times(url: str, kind: type[PollSource]) -> None:
    await create(url, OUTBOX)
    table = await outbox_table(url)
    committed: list[tuple[int, int]] = []
    stop = asyncio.Event()

    async def writer() -> None:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            while not stop.is_set():
                row = await (
                    await connection.execute(
                        "INSERT INTO outbox (aggregate_id, aggregate_version) VALUES (gen_random_uuid(), 1)"
                        " RETURNING position"
                    )
                ).fetchone()
                after = await (
                    await connection.execute("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
                ).fetchone()
                assert row is not None
                assert after is not None
                committed.append((row[0], after[0]))

    claims: list[tuple[int, set[int]]] = []
    delivered: set[int] = set()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        source = kind(table, connection, 1)
        if isinstance(source, LateClock):
            source.commits = committed
        await source.resume(PollCursor(1))
        tasks = [asyncio.create_task(writer()) for _ in range(WRITERS)]
        deadline = time.monotonic() + 120
        while len(claims) <= 100 or len(committed) <= 500:
            assert time.monotonic() < deadline
            batch = await source.read(100, 1 << 20)
            delivered |= {event.position for event in batch.events}
            if batch.reached is not None and batch.reached.as_of is not None:
                claims.append((batch.reached.as_of, set(delivered)))
            await asyncio.sleep(0.001)
        stop.set()
        await asyncio.gather(*tasks)
    for as_of, then in claims:
        assert {position for position, at in committed if at < as_of} <= then


async def test_a_barrier_time_is_true(postgres_database: str) -> None:
    """Whatever had committed before `as_of` was delivered with or before it, by the database's clock."""
    await check_barrier_times(postgres_database, PollSource)


class LateClock(PollSource):
    """Mutant: the time is taken after the snapshot, when more has committed."""

    commits: Sized = ()

    async def _open_difference(self) -> Checkpoint | None:
        reached = await super()._open_difference()
        # One writer at least begins and ends a transaction meanwhile.
        enough = len(self.commits) + WRITERS + 1
        while len(self.commits) < enough:
            await asyncio.sleep(0.001)
        row = await (
            await self._connection.execute("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
        ).fetchone()
        assert row is not None
        self._as_of = int(row[0])
        return None if reached is None else Checkpoint(reached.cursor, self._as_of)


@pytest.mark.mutant
async def test_mutant_that_looks_at_the_clock_after_the_snapshot_claims_too_much(postgres_database: str) -> None:
    with pytest.raises(AssertionError, match="set"):
        await check_barrier_times(postgres_database, LateClock)
