"""Lag as it is defined, against an oracle that goes through all rows; and what an onlooker sees of a stopped leader."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import Any

import psycopg
import pytest

from relay.events.columns import ColumnNames
from relay.events.cursor import PollCursor
from relay.events.snapshot import Snapshot
from relay.lag.observer import uncovered
from relay.outbox.table import TableName, find_table
from tests.fixtures.private_servers import PrivateNats
from tests.support.relay.log_mode import in_mode
from tests.support.relay.relay_process import RelayProcess, running
from tests.support.relay.tables import OUTBOX, create
from tests.support.relay.world import World

Connection = psycopg.AsyncConnection[Any]
INSERT = "INSERT INTO outbox (aggregate_id, aggregate_version) SELECT gen_random_uuid(), 1 FROM generate_series(1, %s)"


async def snapshot(connection: Connection) -> Snapshot:
    row = await (await connection.execute("SELECT pg_current_snapshot()::text")).fetchone()
    assert row is not None
    return Snapshot.parse(row[0])


async def oracle(connection: Connection, cursor: PollCursor) -> tuple[int, int | None]:
    """What the definition says, row by row."""
    rows = await connection.execute(
        "SELECT position, transaction_id::text::bigint, (extract(epoch FROM recorded_at) * 1000000)::bigint FROM outbox"
    )
    left = []
    for position, transaction, recorded_at in await rows.fetchall():
        seen = cursor.seen is not None and cursor.seen.sees(transaction)
        reached = cursor.upto is not None and cursor.upto.sees(transaction) and position <= cursor.position
        if not seen and not reached:
            left.append(recorded_at)
    return len(left), min(left, default=None)


async def test_uncovered_rows_are_those_of_the_definition(postgres_database: str) -> None:
    await create(postgres_database, OUTBOX)
    async with (
        await psycopg.AsyncConnection.connect(postgres_database, autocommit=True) as writer,
        await psycopg.AsyncConnection.connect(postgres_database, autocommit=True) as reader,
        await psycopg.AsyncConnection.connect(postgres_database) as early,
        await psycopg.AsyncConnection.connect(postgres_database) as late,
    ):
        table = await find_table(reader, TableName.parse("outbox"), ColumnNames.default())
        await early.execute(INSERT, [4])
        await writer.execute(INSERT, [10])
        first = await snapshot(reader)
        await late.execute(INSERT, [3])
        await writer.execute(INSERT, [20])
        await early.commit()
        second = await snapshot(reader)
        await writer.execute(INSERT, [5])
        for stage in ("late open", "late committed", "more"):
            for cursor in (
                PollCursor(1),
                PollCursor(1, first),
                PollCursor(1, second),
                PollCursor(1, None, second, 0),
                PollCursor(1, None, second, 9),
                PollCursor(1, first, second, 0),
                PollCursor(1, first, second, 2),
                PollCursor(1, first, second, 20),
                PollCursor(1, first, second, 10_000),
                PollCursor(1, await snapshot(reader)),
            ):
                assert await uncovered(reader, table, cursor, 1_000) == await oracle(reader, cursor), (stage, cursor)
                count, oldest = await uncovered(reader, table, cursor, 7)
                assert count == min(7, (await oracle(reader, cursor))[0])
                assert (oldest is None) is (count == 0)
            rows = await reader.execute("SELECT DISTINCT transaction_id::text::bigint FROM outbox")
            everything = [one for (one,) in await rows.fetchall()]
            assert await uncovered(reader, table, PollCursor(1, first), 1_000, everything) == (0, None)
            most = await uncovered(reader, table, PollCursor(1, first), 1_000, everything[1:])
            of_one = await reader.execute(
                "SELECT count(*) FROM outbox WHERE transaction_id::text::bigint = %s AND NOT"
                " pg_visible_in_snapshot(transaction_id, %s::pg_snapshot)",
                [everything[0], first.text],
            )
            assert most[0] == (await of_one.fetchone() or (None,))[0]
            if stage == "late open":
                await late.commit()
            await writer.execute(INSERT, [2])


class Moment:
    """Rows that are committed now, and between which ages their lag must be when it is told. No limit of speed: the
    bounds are as far apart as the statement and the question take."""

    async def insert(self, world: World, rows: int) -> None:
        self._before = time.time()
        await world.insert(rows)
        self._after = time.time()

    async def told_by(self, relay: RelayProcess) -> dict[str, Any]:
        """The relay's page; while nobody publishes them, its age is right if it counts these rows as the oldest."""
        asked = time.time()
        page = await relay.page()
        age = page["oldest_unpublished_age_seconds"]
        if age is not None and page["backlog_events"] and page["state"] in {"STANDBY", "RETRYING"}:
            assert asked - self._after - CLOCK_SECONDS <= age <= time.time() - self._before + CLOCK_SECONDS
        return page


#: How far off the database's clock may be read over a connection on a machine with too much to do.
CLOCK_SECONDS = 2.0


async def test_a_standby_shows_the_lag_of_a_leader_that_stands_still(world: World) -> None:
    async with running(world.relay()) as leader:
        await leader.wait_for_state("PUBLISHING")
        async with running(world.relay()) as standby:
            await standby.wait_for_state("STANDBY")
            first, second = leader, standby
            # The standby takes over after five seconds, on a busy machine before it was asked often enough.
            while len(seen := await told_while_the_leader_stands_still(world, first, second)) < 3:
                first, second = second, first
            assert seen[-1] > seen[0]
    assert (await world.verdict()).clean


async def told_while_the_leader_stands_still(world: World, leader: RelayProcess, standby: RelayProcess) -> list[float]:
    """The ages that the standby tells until it has taken over; it leads when this returns, and the other stands by."""
    await world.insert(10)
    await world.drained(leader)
    while (await standby.page())["backlog_events"] != 0:
        await asyncio.sleep(0.05)
    leader.signal(signal.SIGSTOP)
    rows, seen = Moment(), []
    await rows.insert(world, 25)
    while (page := await rows.told_by(standby))["state"] == "STANDBY":
        if page["backlog_events"]:
            assert page["backlog_events"] == 25
            seen.append(page["oldest_unpublished_age_seconds"])
        await asyncio.sleep(0.1)
    await world.drained(standby)
    leader.signal(signal.SIGCONT)
    await leader.wait_for_state("STANDBY")
    while (await leader.page())["backlog_events"] != 0:
        await asyncio.sleep(0.05)
    return seen


@pytest.mark.parametrize("mode", ["auto", "poll"])
async def test_a_leader_knows_its_lag_in_an_outage_and_after_it(
    postgres_database: str, private_nats: PrivateNats, mode: str
) -> None:
    """Also of events that come when the outage has long begun, and not a moment longer than they wait."""
    server = await private_nats()
    world = await World.make(postgres_database, server.url, "ORDERS", "orders")
    async with running(world.relay(mode=mode)) as relay:
        await in_mode(relay, "poll" if mode == "poll" else "wal")
        for _ in range(2):
            await world.insert(100)
            await world.drained(relay)
            await server.kill()
            await relay.wait_for_state("RETRYING")
            while (await relay.page())["backlog_events"] != 0:
                await asyncio.sleep(0.02)
            rows = Moment()
            await rows.insert(world, 30)
            while (page := await rows.told_by(relay))["backlog_events"] != 30:
                await asyncio.sleep(0.02)
            assert page["oldest_unpublished_age_seconds"] > 0
            await server.restart()
            await world.drained(relay)
            while (await relay.page())["oldest_unpublished_age_seconds"] != 0:
                await asyncio.sleep(0.02)
    assert (await world.verdict()).clean
