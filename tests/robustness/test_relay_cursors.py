"""Positions that do not fit in every message, and events that fit in none."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import psycopg
import pytest

from relay.events.cursor import IN_BODY, anchor_of, parse
from tests.support.chance import new_seed, tell
from tests.support.relay import streams
from tests.support.relay.relay_process import running
from tests.support.relay.world import World
from tests.support.relay.writers import Writers

OPEN_TRANSACTIONS = 150


async def leave_open(world: World) -> None:
    """Many transactions that stay open, each with an event of its own: a snapshot lists them all."""
    async with await psycopg.AsyncConnection.connect(world.database_url) as connection:
        row = await (await connection.execute("SHOW max_prepared_transactions")).fetchone()
        if row is None or int(row[0]) < OPEN_TRANSACTIONS:
            pytest.skip(f"the server has max_prepared_transactions = {row and row[0]}, {OPEN_TRANSACTIONS} are needed")
        for number in range(OPEN_TRANSACTIONS):
            await connection.execute(
                "INSERT INTO outbox (aggregate_id, aggregate_version) VALUES (gen_random_uuid(), 1)"
            )
            await connection.execute(f"PREPARE TRANSACTION 'open {world.stream} {number}'")
            await connection.commit()


async def end_all(world: World) -> None:
    async with await psycopg.AsyncConnection.connect(world.database_url, autocommit=True) as connection:
        for number in range(OPEN_TRANSACTIONS):
            await connection.execute(f"COMMIT PREPARED 'open {world.stream} {number}'")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.long)])
async def test_a_long_snapshot_stands_once_and_the_relay_resumes_from_it(world: World, kills: int) -> None:
    seed = new_seed()
    chance = random.Random(seed)
    await leave_open(world)
    work = Writers(world.database_url, seed=seed, count=6, aggregates=50)
    async with work.writing() as ledger:
        for _ in range(kills):
            async with running(world.relay()) as relay:
                await relay.wait_for_state("PUBLISHING")
                await relay.stored(60)
                await asyncio.sleep(chance.random() * 0.3)
    await end_all(world)
    async with running(world.relay()) as relay:
        await world.drained(relay)
    verdict = await world.verdict()
    assert ledger.committed <= await world.committed()
    assert verdict.clean, verdict
    stored = await world.messages()
    anchored = [m for m in stored if m.is_event and isinstance(anchor_of(m.headers["Tandem-Cursor"]), int)]
    holders = [m for m in stored if anchor_of(m.headers["Tandem-Cursor"]) == IN_BODY]
    tell(f"{verdict}; {len(anchored)} events name one of {len(holders)} barriers that hold a long cursor")
    assert len(anchored) > 50
    assert holders
    assert all(len(m.headers["Tandem-Cursor"]) < 600 for m in stored)


async def test_lag_is_measured_against_a_long_cursor_too(world: World) -> None:
    await leave_open(world)
    async with running(world.relay()) as relay:
        await world.insert(10)
        await world.drained(relay)
        deadline = time.monotonic() + 120
        while (page := await relay.page())["backlog_events"] != 0 or not page["last_stored_cursor"]:
            assert time.monotonic() < deadline, page
            await asyncio.sleep(0.05)
        cursor = parse(page["last_stored_cursor"])
        assert len(cursor.text) > 512
    await end_all(world)


async def parked(world: World) -> list[tuple[Any, ...]]:
    async with await psycopg.AsyncConnection.connect(world.database_url) as connection:
        rows = await connection.execute(
            "SELECT position, aggregate_id, aggregate_version, reason FROM outbox_parked ORDER BY position"
        )
        return await rows.fetchall()


async def test_what_cannot_be_published_parks_its_aggregate_only(world: World) -> None:
    """Recorded with its reason, and every later event of its aggregate with it, across restarts; all else goes on."""
    bad = {name: f"00000000-0000-0000-0000-00000000000{number}" for number, name in enumerate(("type", "size", "none"))}
    insert = "INSERT INTO outbox (aggregate_id, aggregate_version, event_type, payload) VALUES (%s, %s, %s, %s::json)"
    async with await psycopg.AsyncConnection.connect(world.database_url, autocommit=True) as connection:

        async def write(aggregate: str, version: int, event_type: str = "ORDER_REVISED", size: int = 1) -> None:
            await connection.execute(insert, [bad[aggregate], version, event_type, '"' + "x" * size + '"'])

        async with running(world.relay()) as relay:
            await relay.wait_for_state("PUBLISHING")
            for aggregate in bad:
                await write(aggregate, 1)
            await write("type", 2, event_type="not a subject")
            await write("size", 2, size=1_100_000)
            for aggregate in bad:
                await write(aggregate, 3)
            await world.insert(100)
            await world.drained(relay)
            assert (await relay.page())["parked_aggregates"] == 2
            assert "relay_parked_aggregates 2.0" in await relay.get("/metrics")
            await relay.kill()
        async with running(world.relay()) as relay:
            await write("type", 4)
            await write("none", 4)
            await world.drained(relay)
            assert (await relay.page())["parked_aggregates"] == 2
    found = {(aggregate, version): reason for _, aggregate, version, reason in await parked(world)}
    assert found.keys() == {(bad["type"], 2), (bad["type"], 3), (bad["type"], 4), (bad["size"], 2), (bad["size"], 3)}
    assert "subject" in found[bad["type"], 2]
    assert "1100" in found[bad["size"], 2]
    assert "earlier event" in found[bad["type"], 4]
    published = await world.events()
    assert [key for key in published if key[0] in bad.values()] == [
        (bad["type"], 1),
        (bad["size"], 1),
        (bad["none"], 1),
        (bad["none"], 3),
        (bad["none"], 4),
    ]
    assert len(published) == 105


async def test_what_the_stream_alone_refuses_is_parked_too(world: World) -> None:
    """The stream's own limit is lowered while the relay runs, which it can only learn by being refused."""
    async with running(world.relay()) as relay:
        await relay.wait_for_state("PUBLISHING")
        await streams.update_stream(world.nats_url, world.stream, max_msg_size=5_000)
        await world.insert(20)
        await world.insert(1, values="gen_random_uuid(), 1, ('\"' || repeat('x', 9000) || '\"')::json")
        await world.insert(20)
        await world.drained(relay)
    assert len(await world.events()) == 40
    ((position, _, _, reason),) = await parked(world)
    assert position == 21
    assert "refused by the stream" in reason or "a message may have 5000" in reason
