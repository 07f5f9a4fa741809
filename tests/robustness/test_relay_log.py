"""The relay where the log cannot be read: polls at once, returns to the log, each event once and in order."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from psycopg import sql

from tests.support.chance import new_seed
from tests.support.relay import streams
from tests.support.relay.log_mode import (
    KNOWN,
    LOG_SECONDS,
    admin,
    drop_slot,
    dropped,
    in_mode,
    judged,
    more_committed,
    nobody_reads,
    slots,
    under_writers,
)
from tests.support.relay.relay_process import running
from tests.support.relay.world import World


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("rounds", [3, pytest.param(40, marks=pytest.mark.long)])
async def test_goes_over_to_the_log_and_survives_ends(world: World, rounds: int) -> None:
    """A backlog is polled, then the log is read; killed and stopped at random, over and over."""
    chance = random.Random(new_seed())
    await world.insert(3_000)
    already = await world.committed()
    async with under_writers(world, prepare=True) as ledger:
        for _ in range(rounds):
            async with running(world.relay()) as relay:
                if chance.random() < 0.7:
                    await in_mode(relay, "wal")
                await asyncio.sleep(chance.random())
                if chance.random() < 0.3:
                    assert await relay.stop() == 0, relay.text
                else:
                    await relay.kill()
    ledger.committed |= already
    async with running(world.relay()) as relay:
        await in_mode(relay, "wal")
        await judged(world, relay, ledger)
        assert len(await slots(world)) == 1
        assert 'relay_mode{mode="wal"} 1.0' in await relay.get("/metrics")


async def test_a_slot_dropped_while_a_transaction_stays_open(world: World) -> None:
    async with running(world.relay()) as relay, under_writers(world) as ledger:
        await in_mode(relay, "wal")
        async with await psycopg.AsyncConnection.connect(world.database_url) as foreign:
            await foreign.execute("CREATE TABLE elsewhere ()")
            await drop_slot(world)
            await in_mode(relay, "poll")
            await relay.stored(100)
            # no slot can be finished while that transaction is open
            assert (await relay.page())["mode"] == "poll"
            await foreign.rollback()
        await in_mode(relay, "wal")
        await asyncio.sleep(0.5)
    # the relay has ended by a kill; what it left is taken up
    async with running(world.relay()) as relay:
        await judged(world, relay, ledger)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("drops", [2, pytest.param(30, marks=pytest.mark.long)])
async def test_slots_dropped_again_and_again(world: World, drops: int) -> None:
    chance = random.Random(new_seed())
    async with running(world.relay()) as relay:
        async with under_writers(world) as ledger:
            for _ in range(drops):
                await in_mode(relay, "wal")
                await asyncio.sleep(chance.random() * 1.5)
                await drop_slot(world)
                await asyncio.sleep(chance.random() * 0.3)
        await judged(world, relay, ledger)


async def test_a_slot_dropped_while_the_snapshot_is_long(world: World) -> None:
    """With many transactions open the checkpoint stands once, in a barrier; the poll finds what came behind it."""
    async with running(world.relay()) as relay:
        async with under_writers(world, pause=0.02) as ledger:
            await in_mode(relay, "wal")
            async with admin(world) as connection:
                for number in range(80):
                    await connection.execute("BEGIN")
                    await connection.execute("INSERT INTO outbox (aggregate_id, aggregate_version) VALUES (%s, 1)",
                                             [uuid.UUID(int=number)])  # fmt: skip
                    await connection.execute(sql.SQL("PREPARE TRANSACTION {}").format(f"{world.stream}-{number}"))
                deadline = time.monotonic() + LOG_SECONDS
                while ";wal;@body" not in await streams.last_header(
                    world.nats_url, world.stream, f"{world.prefix}.barrier", "Tandem-Cursor"
                ):
                    assert time.monotonic() < deadline, relay.text
                    await asyncio.sleep(0.05)
                await drop_slot(world)
                await in_mode(relay, "poll")
                await asyncio.sleep(0.5)
                await relay.kill()
                async with running(world.relay()) as second:
                    await in_mode(second, "poll")
                    await asyncio.sleep(0.5)
                    for number in range(80):
                        await connection.execute(sql.SQL("COMMIT PREPARED {}").format(f"{world.stream}-{number}"))
                        ledger.committed.add((str(uuid.UUID(int=number)), 1))
                    await in_mode(second, "wal")
                    assert KNOWN not in second.text
        assert KNOWN not in relay.text
    async with running(world.relay()) as relay:
        await judged(world, relay, ledger)


async def test_a_slot_ahead_of_the_stream(world: World) -> None:
    """Somebody moves the slot on while the relay is away: the server would pass over the gap without a word."""
    async with running(world.relay()) as relay:
        await in_mode(relay, "wal")
        await world.insert(10)
        await world.drained(relay)
        assert await relay.stop() == 0
    await world.insert(200)
    await nobody_reads(world)
    async with admin(world) as connection:
        [name] = await slots(world)
        await connection.execute("SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())", [name])
    await world.insert(10)
    async with running(world.relay()) as relay:
        await in_mode(relay, "wal")
        await world.drained(relay)
        assert "ahead of the stream" in relay.text
        assert name not in await slots(world)
    verdict = await world.verdict()
    assert verdict.clean, verdict
    assert verdict.delivered == 220


@asynccontextmanager
async def read_by_a_stranger(world: World, name: str) -> AsyncIterator[None]:
    """Somebody who is no relay reads the slot while the block runs."""
    stranger = await psycopg.AsyncConnection.connect(world.database_url, autocommit=True, replication="database")
    try:
        await stranger.execute(
            sql.SQL(
                "START_REPLICATION SLOT {} LOGICAL 0/0 (proto_version '1', publication_names 'tandem_outbox')"
            ).format(sql.Identifier(name))
        )
        yield
    finally:
        await stranger.close()


async def left_by_a_relay(world: World) -> str:
    """The slot of a relay that has ended, with events behind it."""
    async with running(world.relay()) as relay:
        await in_mode(relay, "wal")
        await world.insert(10)
        await world.drained(relay)
        await relay.stop()
    await world.insert(50)
    await nobody_reads(world)
    [name] = await slots(world)
    return name


async def slot_in_use(world: World, mode: str, prelude: str = "", seconds: float = LOG_SECONDS) -> None:
    """Somebody else reads our slot: another way is gone, and the slot is dropped as soon as it is free."""
    name = await left_by_a_relay(world)
    async with running(world.relay(mode=mode, prelude=prelude)) as relay:
        async with read_by_a_stranger(world, name):
            await in_mode(relay, "poll" if mode == "poll" else "wal")
            await world.drained(relay)
            if mode != "poll":
                assert "is in use by process" in relay.text
            while "cannot be dropped yet" not in relay.text:
                assert relay.returncode is None
                await asyncio.sleep(0.05)
            assert name in await slots(world)
        await dropped(world, name, seconds)
        await world.insert(10)
        await world.drained(relay)
    async with running(world.relay(mode=mode)) as relay:
        await in_mode(relay, "poll" if mode == "poll" else "wal")
        verdict = await world.verdict()
    assert verdict.clean, verdict
    assert verdict.delivered == 70


@pytest.mark.parametrize("mode", ["auto", "poll"])
async def test_a_slot_in_use(world: World, mode: str) -> None:
    await slot_in_use(world, mode)


#: Mutant: what cannot be dropped at once is left.
TRIES_ONCE = """
import relay.wal.slot_cleanup
relay.wal.slot_cleanup.FIRST_RETRY_SECONDS = 1e6
relay.wal.slot_cleanup.LONGEST_RETRY_SECONDS = 1e6
"""


@pytest.mark.mutant
async def test_mutant_that_tries_once_leaves_the_slot(world: World) -> None:
    with pytest.raises(AssertionError, match="is still there"):
        await slot_in_use(world, "poll", TRIES_ONCE, seconds=5)


#: Dies when a slot is made and the log is about to be read.
DIE_AT_HAND_OVER = """
import os, signal
from relay.sources.switching import SwitchingSource
async def die(self, made):
    os.kill(os.getpid(), signal.SIGKILL)
SwitchingSource._hand_over = die
"""
#: Dies after the log has been opened and before a message with its cursor is sent.
DIE_AFTER_HAND_OVER = """
import os, signal
from relay.sources.switching import SwitchingSource
real = SwitchingSource._hand_over
async def die(self, made):
    if await real(self, made) is not None:
        os.kill(os.getpid(), signal.SIGKILL)
SwitchingSource._hand_over = die
"""


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("prelude", [DIE_AT_HAND_OVER, DIE_AFTER_HAND_OVER], ids=["before", "after"])
@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=pytest.mark.long)])
async def test_killed_around_the_hand_over(world: World, prelude: str, kills: int) -> None:
    left: list[str] = []
    async with under_writers(world) as ledger:
        for _ in range(kills):
            async with running(world.relay(prelude=prelude)) as relay:
                await relay.ended(LOG_SECONDS)
            left += await slots(world)
        assert len(left) == len(set(left)) == kills
    async with running(world.relay()) as relay:
        await in_mode(relay, "wal")
        await judged(world, relay, ledger)
        assert not set(await slots(world)) & set(left)


@pytest.mark.parametrize(
    "change",
    [
        "DROP PUBLICATION tandem_outbox",
        pytest.param("ALTER PUBLICATION tandem_outbox SET TABLE aggregate", marks=pytest.mark.long),
        "ALTER PUBLICATION tandem_outbox SET (publish = 'delete')",
    ],
)
async def test_a_publication_changed_and_changed_back(world: World, change: str) -> None:
    """The server leaves rows out without a word; whatever it left out comes by polling."""
    async with running(world.relay()) as relay:
        async with under_writers(world) as ledger:
            await in_mode(relay, "wal")
            async with admin(world) as connection:
                await connection.execute(change)
                await more_committed(ledger, 30)
                await connection.execute("DROP PUBLICATION IF EXISTS tandem_outbox")
            await more_committed(ledger, 30)
            deadline = time.monotonic() + LOG_SECONDS
            while "polling from the last checkpoint" not in relay.text:
                assert time.monotonic() < deadline, relay.text
                await asyncio.sleep(0.05)
            await in_mode(relay, "wal")
        await judged(world, relay, ledger)


#: Mutant: the state of the publication is taken for unchanged.
BLIND_TO_THE_PUBLICATION = """
import relay.wal.source as w, relay.wal.reader as r, relay.outbox.publication as p
r._EMIT = r._EMIT.replace(p.STATE, "'unchanged'")
async def unchanged(connection, name):
    return "unchanged"
w.publication_state = unchanged
import relay.wal.slot_creation as s
real = s.ensure_publication
async def ensured(*arguments):
    await real(*arguments)
    return "unchanged"
s.ensure_publication = ensured
"""


@pytest.mark.mutant
async def test_mutant_blind_to_the_publication_loses_events(world: World) -> None:
    async with running(world.relay(prelude=BLIND_TO_THE_PUBLICATION)) as relay:
        async with under_writers(world) as ledger:
            await in_mode(relay, "wal")
            async with admin(world) as connection:
                await connection.execute("ALTER PUBLICATION tandem_outbox SET (publish = 'delete')")
                await more_committed(ledger, 50)
                await connection.execute("ALTER PUBLICATION tandem_outbox SET (publish = 'insert')")
            await more_committed(ledger, 50)
        await world.drained(relay)
    assert (await world.verdict(ledger)).lost > 0


#: Mutant: a poll that takes over from the log passes over nothing.
PASSES_OVER_NOTHING = """
from relay.events.delivered import Delivered
Delivered.holds = lambda self, event: False
"""
#: Mutant: a poll that has gone beyond the new slot's beginning does not say so.
LISTS_NOTHING_BETWEEN = """
from relay.sources.poll import PollSource
async def nothing(self, seen, upto, limit):
    return []
PollSource.transactions_between = nothing
PollSource.end_at = lambda self, snapshot: None
"""


@pytest.mark.mutant
@pytest.mark.parametrize("prelude", [PASSES_OVER_NOTHING, LISTS_NOTHING_BETWEEN], ids=["nothing", "no list"])
async def test_mutant_taking_over_carelessly_sends_events_again(world: World, prelude: str) -> None:
    """Only the stream's memory for ids, a minute long, stands between this and repeated events."""
    async with running(world.relay(prelude=prelude)) as relay, under_writers(world, pause=0.0):
        deadline = time.monotonic() + LOG_SECONDS
        while KNOWN not in relay.text:
            assert time.monotonic() < deadline
            if (await relay.page())["mode"] == "wal":
                await asyncio.sleep(1)
                await drop_slot(world)
            await asyncio.sleep(0.1)
