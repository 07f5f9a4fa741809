"""Real restores and promotions: the source goes back in time, the stream does not, and `adopt` brings them together."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from devstack.servers import PostgresServer
from tests.fixtures.postgres import database
from tests.fixtures.private_servers import PrivatePostgres
from tests.support.chance import new_seed, tell
from tests.support.relay.log_mode import KNOWN, in_mode, under_writers
from tests.support.relay.relay_process import RelayProcess, running
from tests.support.relay.restores import (
    SOURCE,
    adopt,
    adopting,
    books,
    burn_transactions,
    insert_versions,
    restore,
)
from tests.support.relay.tables import OUTBOX
from tests.support.relay.world import World

CAUGHT_UP_SECONDS = 120.0


async def shop(server: PostgresServer, nats_url: str, stream: str, prefix: str) -> World:
    url = await server.ensure_database("shop")
    return await World.make(url, nats_url, stream, prefix, OUTBOX + SOURCE)


def moved(world: World, server: PostgresServer) -> World:
    """The same outbox on another server."""
    url = server.database_url("shop")
    return replace(world, database_url=url, settings={**world.settings, "RELAY_DATABASE_URL": url})


async def goes_on(world: World, relay: RelayProcess, lost: frozenset[str]) -> dict[str, Any]:
    """The relay reads the new cluster's log, and the books are right; its page."""
    await in_mode(relay, "wal")
    async with under_writers(world, aggregates=20, count=4):
        await insert_versions(world, 90, "after")
    await world.drained(relay)
    page = await relay.page()
    found = await books(world)
    tell(str(found)[:200])
    assert found.clean, f"{found}\n{relay.text}"
    assert found.lost_by_source == lost
    assert KNOWN not in relay.text
    return page


async def test_a_dump_restored_into_a_new_cluster(
    private_postgres: PrivatePostgres, nats_url: str, stream_name: str, subject_prefix: str
) -> None:
    old, new = await asyncio.gather(private_postgres(), private_postgres())
    before = await shop(old, nats_url, stream_name, subject_prefix)
    async with running(before.relay()) as relay:
        await in_mode(relay, "wal")
        # What stands before the first row kept counts as archived, not as lost: no open transaction may be there.
        await insert_versions(before, 60, "first")
        async with under_writers(before, aggregates=20, count=4):
            await insert_versions(before, 300, "before")
            dump = old.home / "shop.dump"
            await old._run("pg_dump", "--format=custom", f"--file={dump}", f"--dbname={before.database_url}")
            await insert_versions(before, 60, "lost")
        await before.drained(relay)
        await relay.stop()
    await old.kill()

    after = moved(before, new)
    await new.ensure_database("shop")
    await new._run("pg_restore", "--exit-on-error", f"--dbname={after.database_url}", str(dump))
    lost = (await books(after)).lost_by_source
    assert len(lost) >= 60
    async with running(after.relay()) as relay:
        page = await relay.wait_for_state("SOURCE_CHANGED")
        assert "restored or failed over" in page["last_error"]
        found = (await adopt(after)).found
        assert (found["source_epoch"], found["lost_events"]) == (2, len(lost))
        assert {one["event_id"] for one in found["lost"]} == lost
        await in_mode(relay, "wal")
        await burn_transactions(after, 5_000)  # past all that the old cluster had come to
        page = await goes_on(after, relay, lost)
        assert page["adoption"]["lost_events"] == len(lost)
        await relay.stop()


async def test_a_promoted_standby_that_lacks_the_last_events(
    private_postgres: PrivatePostgres, nats_url: str, stream_name: str, subject_prefix: str
) -> None:
    primary = await private_postgres()
    before = await shop(primary, nats_url, stream_name, subject_prefix)
    await insert_versions(before, 90, "before")
    standby = await private_postgres(standby_of=primary)
    after = moved(before, standby)
    async with running(before.relay()) as leader, running(after.relay()) as relay:
        await before.drained(leader)
        page = await relay.wait_for_state("SOURCE_IS_STANDBY")
        assert "point RELAY_DATABASE_URL at the primary" in page["last_error"]
        refused = await adopt(after)
        assert (refused.code, refused.document["adopted"]) == (1, False)
        assert "the database is a standby" in refused.document["message"]
        await insert_versions(before, 30, "on both")
        await caught_up(primary, standby)
        await standby.kill()
        await insert_versions(before, 60, "lost")
        await before.drained(leader)
        await leader.stop()
        await primary.kill()

        await standby.start()
        await relay.wait_for_state("SOURCE_IS_STANDBY")
        async with await psycopg.AsyncConnection.connect(standby.url, autocommit=True) as connection:
            await connection.execute("SELECT pg_promote()")
        page = await relay.wait_for_state("SOURCE_CHANGED")
        assert "timeline 2" in page["last_error"]
        lost = (await books(after)).lost_by_source
        found = (await adopt(after)).found
        assert (found["source_epoch"], found["published"], found["lost_events"]) == (2, 0, 60)
        await goes_on(after, relay, lost)
        await relay.stop()


async def caught_up(primary: PostgresServer, standby: PostgresServer) -> None:
    """Waits until the standby has replayed what the primary has written."""
    deadline = time.monotonic() + CAUGHT_UP_SECONDS
    async with (
        await psycopg.AsyncConnection.connect(primary.url, autocommit=True) as writer,
        await psycopg.AsyncConnection.connect(standby.url, autocommit=True) as reader,
    ):
        row = await (await writer.execute("SELECT pg_current_wal_lsn()::text")).fetchone()
        assert row is not None
        while True:
            seen = await (await reader.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", row)).fetchone()
            if seen is not None and seen[0]:
                return
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_killed_at_any_moment(
    postgres_database: str, postgres_url: str, nats_url: str, stream_name: str, subject_prefix: str
) -> None:
    """Adoption after adoption of a source that never stops writing, killed 100 times while a relay waits to lead."""
    seed, kills, rounds = new_seed(), 0, 0
    chance = random.Random(seed)
    before = await World.make(postgres_database, nats_url, stream_name, subject_prefix, OUTBOX + SOURCE)
    async with running(before.relay()) as relay:
        await insert_versions(before, 3_000, "published")
        await before.drained(relay)
        await relay.stop()
    async with database(postgres_url) as url:
        world = await restore(before, url, shift=1_000_000)
        async with under_writers(world, aggregates=20, count=4):
            while kills < 100:
                rounds += 1
                await insert_versions(world, 6_000, f"missing {rounds}")
                async with running(world.relay()) as relay:
                    await relay.wait_for_state("SOURCE_CHANGED")
                    kills += await killed_until_it_is_through(world, chance)
                    await in_mode(relay, "wal")
                    assert KNOWN not in relay.text
                    await relay.stop()
                tell(f"{kills} kills in {rounds} rounds")
                async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
                    await connection.execute("UPDATE source SET system_identifier = 'yet another cluster'")
        assert (await adopt(world)).found["lost_events"] == 0
        async with running(world.relay()) as relay:
            await world.drained(relay)
            await relay.stop()
        found = await books(world)
        assert found.clean, found
        assert not found.lost_by_source


async def killed_until_it_is_through(world: World, chance: random.Random) -> int:
    """Runs adoptions, each killed at a random moment, until one is faster; how many were killed."""
    kills = 0
    while True:
        # Started and through within a second or so on a quiet machine; each run leaves less to do for the next.
        seconds = chance.uniform(0.3, 2.0) + 0.1 * kills
        async with adopting(world) as process:
            try:
                await asyncio.wait_for(process.wait(), seconds)
            except TimeoutError:
                kills += 1
                continue
            assert process.returncode == 0
            return kills
