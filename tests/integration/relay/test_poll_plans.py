"""What a poll touches: nothing behind a long transaction, indexes always, and never the table as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from relay.events.columns import ColumnNames
from relay.events.cursor import PollCursor
from relay.events.snapshot import Snapshot
from relay.outbox.table import OutboxTable, Query, TableName, find_table
from relay.sources.poll import PollSource
from tests.support.chance import tell
from tests.support.relay.tables import OUTBOX, create

Connection = psycopg.AsyncConnection[Any]
INSERT = "INSERT INTO outbox (aggregate_id, aggregate_version) SELECT gen_random_uuid(), 1 FROM generate_series(1, %s)"


async def snapshot(connection: Connection) -> Snapshot:
    row = await (await connection.execute("SELECT pg_current_snapshot()::text")).fetchone()
    assert row is not None
    return Snapshot.parse(row[0])


async def spend_transaction_ids(connection: Connection, count: int) -> None:
    """Other work of the database: transaction ids that the outbox knows nothing of."""
    for _ in range(count):
        await connection.execute("SELECT pg_current_xact_id()")


async def explain(connection: Connection, query: Query) -> dict[str, Any]:
    """The executed plan, with its buffers."""
    text = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query.text}"
    row = await (await connection.execute(text, query.parameters)).fetchone()
    assert row is not None
    return dict(row[0][0]["Plan"])


def buffers(plan: dict[str, Any]) -> int:
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


async def reader(url: str) -> tuple[Connection, OutboxTable]:
    """A session set up as the source sets up its own."""
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    table = await find_table(connection, TableName.parse("outbox"), ColumnNames.default())
    await PollSource(table, connection, 1).resume(PollCursor(1))
    return connection, table


async def write(connection: Connection, rows: int) -> None:
    for _ in range(50):
        await connection.execute(INSERT, [rows // 50])


def difference(table: OutboxTable, seen: Snapshot, upto: Snapshot) -> Query:
    """The statement as the source sends it: prepared, with a generic plan."""
    return Query(table.execute_by_transaction(seen, upto, 0, 1_000), None)


def by_xmin(table: OutboxTable, seen: Snapshot, upto: Snapshot) -> Query:
    """Mutant: everything from `xmin` on is looked at, also what was delivered behind the open transaction."""
    return difference(table, Snapshot(seen.xmin, seen.xmin), upto)


async def buffers_of_an_idle_poll(url: str, rows: int, *, held: bool) -> tuple[int, int]:
    """(of ours, of the mutant): polls that find nothing after `rows` delivered rows, behind an open one or not."""
    async with (
        await psycopg.AsyncConnection.connect(url, autocommit=True) as writer,
        await psycopg.AsyncConnection.connect(url) as holder,
    ):
        await writer.execute("TRUNCATE outbox")
        if held:
            await holder.execute(INSERT, [1])
        await write(writer, rows)
        await writer.execute("VACUUM ANALYZE outbox")
        connection, table = await reader(url)
        async with connection:
            while bool((seen := await snapshot(connection)).in_progress) is not held:
                await asyncio.sleep(0.01)  # the server itself may be at work, as autovacuum is
            await spend_transaction_ids(writer, 10)
            upto = await snapshot(connection)
            plan = await explain(connection, difference(table, seen, upto))
            assert plan["Actual Rows"] == 0
            mutant = await explain(connection, by_xmin(table, seen, upto))
            return buffers(plan), buffers(mutant)


async def compare(url: str, rows: int) -> None:
    free, _ = await buffers_of_an_idle_poll(url, rows, held=False)
    held, mutant = await buffers_of_an_idle_poll(url, rows, held=True)
    tell(f"idle poll after {rows} rows: {free} buffers, behind an open transaction {held}, mutant {mutant}")
    assert held <= 2 * free
    assert mutant > 2 * free, "the measurement would not notice a plan that walks what was delivered"


async def test_an_open_transaction_costs_an_idle_poll_nothing(postgres_database: str) -> None:
    await create(postgres_database, OUTBOX)
    await compare(postgres_database, 50_000)


@pytest.mark.long
async def test_an_open_transaction_costs_an_idle_poll_nothing_at_scale(postgres_database: str) -> None:
    await create(postgres_database, OUTBOX)
    await compare(postgres_database, 500_000)


async def test_an_open_transaction_full_of_events_costs_nothing_either(postgres_database: str) -> None:
    """Its own rows are looked at once it has ended, not at every poll before."""
    await create(postgres_database, OUTBOX)
    async with (
        await psycopg.AsyncConnection.connect(postgres_database, autocommit=True) as writer,
        await psycopg.AsyncConnection.connect(postgres_database) as holder,
    ):
        await holder.execute(INSERT, [20_000])
        await spend_transaction_ids(writer, 1)  # a snapshot lists what is open only below the last id that has ended
        connection, table = await reader(postgres_database)
        async with connection:
            seen = await snapshot(connection)
            await spend_transaction_ids(writer, 3)
            upto = await snapshot(connection)
            assert buffers(await explain(connection, difference(table, seen, upto))) < 50


@pytest.mark.parametrize("analyzed", [False, True], ids=["no statistics", "statistics"])
async def test_each_form_uses_its_index(postgres_database: str, analyzed: bool) -> None:
    await create(postgres_database, OUTBOX)
    connection, table = await reader(postgres_database)
    async with connection, await psycopg.AsyncConnection.connect(postgres_database, autocommit=True) as writer:
        await write(writer, 20_000)
        if analyzed:
            await writer.execute("ANALYZE outbox")
        async with await psycopg.AsyncConnection.connect(postgres_database) as open_one:
            await open_one.execute(INSERT, [5])
            seen = await snapshot(connection)
            await open_one.commit()
        await writer.execute(INSERT, [5])
        upto = await snapshot(connection)
        small = await explain(connection, difference(table, seen, upto))
        assert small["Actual Rows"] == 10
        assert buffers(small) < 100
        walk = await explain(connection, table.by_position(seen, upto, 20_000, 1_000, 120_000))
        assert walk["Actual Rows"] == 10
        first = await explain(connection, table.by_position(None, upto, 0, 1_000, None))
        assert first["Actual Rows"] == 1_000
        # a walk reads on from where it is: one chunk costs what a chunk costs, wherever it lies
        later = await explain(connection, table.by_position(None, upto, 18_000, 1_000, None))
        assert buffers(later) <= 2 * buffers(first)
        for plan in (small, walk, first, later):
            kinds = {node["Node Type"] for node in nodes(plan)}
            assert "Seq Scan" not in kinds, kinds
        for plan in (walk, first, later):
            assert not any(node["Node Type"] == "Sort" for node in nodes(plan))
