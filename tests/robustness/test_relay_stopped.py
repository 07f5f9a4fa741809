"""A leader is stopped at three bad moments; the server ends its session each time, or the lock would never be free.

It stands still while its session is idle, inside a transaction, or while the server sends it a result that no longer
fits into the socket. The kernel answers for it all the while, so nobody sees from outside that it does not move.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fixtures.postgres import database
from tests.support.chance import tell
from tests.support.relay import streams
from tests.support.relay.log_mode import admin
from tests.support.relay.relay_process import RelayProcess, running
from tests.support.relay.world import SMALL, World

#: Long enough for any machine; what is waited for takes five seconds.
SECONDS = 120.0
#: Mutant: the server is not told to end a session that stands still.
NO_TIMEOUTS = """
import relay.outbox.leadership
relay.outbox.leadership.SESSION_TIMEOUT_SECONDS = None
"""
#: Opens a transaction on the leader's session and stops there, when something is to be done anyway.
STOPS_IN_A_TRANSACTION = """
import os, signal
from relay.outbox.leadership import HeldLock
real = HeldLock.touch
async def touch(self):
    HeldLock.touch = real
    async with self.connection.transaction():
        await self.connection.execute("SELECT 1")
        os.kill(os.getpid(), signal.SIGSTOP)
HeldLock.touch = touch
"""
LARGE = 150_000
LARGE_ROW = f"gen_random_uuid(), 1, ('\"' || repeat('x', {LARGE}) || '\"')::json"
#: Stops at the first row of a result that is much larger than what sockets hold.
STOPS_IN_A_RESULT = f"""
import os, signal
import relay.outbox.fetch_events as source
from relay.events.event import OutboxEvent
class Stopping:
    @staticmethod
    def _make(row):
        event = OutboxEvent._make(row)
        if len(event.payload) >= {LARGE}:
            source.OutboxEvent = OutboxEvent
            os.kill(os.getpid(), signal.SIGSTOP)
        return event
source.OutboxEvent = Stopping
"""


@dataclass(frozen=True, slots=True)
class Moment:
    """When the leader stops: what makes it stop there, and how the server then sees its session."""

    name: str
    prelude: str
    state: str
    waits_for: str


IDLE = Moment("idle", "", "idle", "ClientRead")
IN_TRANSACTION = Moment("in a transaction", STOPS_IN_A_TRANSACTION, "idle in transaction", "ClientRead")
IN_RESULT = Moment("while a result is sent", STOPS_IN_A_RESULT, "active", "ClientWrite")
MOMENTS = (IDLE, IN_TRANSACTION, IN_RESULT)


async def leader_session(world: World) -> tuple[int, str, str] | None:
    """(backend, state, what it waits for) of the session that holds the lock of the world's stream."""
    async with admin(world) as connection:
        row = await (
            await connection.execute(
                "SELECT pid, state, wait_event FROM pg_locks JOIN pg_stat_activity USING (pid)"
                " WHERE locktype = 'advisory' AND granted AND datname = current_database()"
                " AND (classid::bigint, objid::bigint) = (%s, %s)",
                [one & 0xFFFFFFFF for one in world.lock_key],
            )
        ).fetchone()
    return row if row is None else (row[0], row[1], row[2])


def stands_still(relay: RelayProcess) -> bool:
    return Path(f"/proc/{relay.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


async def stopped_at(world: World, moment: Moment, leader: RelayProcess) -> int:
    """Waits until the leader stands still at that moment; the backend of its session."""
    deadline = time.monotonic() + SECONDS
    session: tuple[int, str, str] | None = None
    while True:
        assert time.monotonic() < deadline, f"{session} instead of {moment}\n{leader.text}"
        if not moment.prelude:
            leader.signal(signal.SIGSTOP)
        while not stands_still(leader):
            assert time.monotonic() < deadline, leader.text
            await asyncio.sleep(0.01)
        for _ in range(20):
            session = await leader_session(world)
            if session is not None and session[1:] == (moment.state, moment.waits_for):
                return session[0]
            await asyncio.sleep(0.05)
        if not moment.prelude:
            leader.signal(signal.SIGCONT)
            await asyncio.sleep(0.05)


async def stop_and_wake(world: World, mutant_world: World, moment: Moment) -> float:
    """Stops a leader and a mutant of it; another one takes over from the leader only. How long that took, in seconds.

    The mutant stands still from an earlier time on, so no limit of seconds is needed to catch it.
    """
    await world.insert(400, values=LARGE_ROW if moment is IN_RESULT else SMALL)
    async with (
        running(mutant_world.relay(mode="poll", prelude=NO_TIMEOUTS + moment.prelude)) as mutant,
        AsyncExitStack() as rest,
    ):
        if not moment.prelude:
            await mutant.wait_for_state("PUBLISHING", SECONDS)
        held = await stopped_at(mutant_world, moment, mutant)
        # Only now: it may stop as soon as it leads, and from then on its session is to be seen for five seconds.
        leader = await rest.enter_async_context(running(world.relay(mode="poll", prelude=moment.prelude)))
        if not moment.prelude:
            await world.drained(leader)
        await stopped_at(world, moment, leader)
        began = time.monotonic()
        await world.insert(100)
        async with running(world.relay(mode="poll")) as standby:
            await standby.wait_for_state("PUBLISHING", SECONDS)
            took = time.monotonic() - began
            await world.drained(standby)
            session = await leader_session(mutant_world)
            assert session is not None, "the mutant has lost its lock: the test cannot tell it from the real one"
            assert session[0] == held
            leader.signal(signal.SIGCONT)
            await leader.wait_for_state("STANDBY", SECONDS)
            await world.insert(100)
            await world.drained(standby)
    verdict = await world.verdict()
    tell(f"stopped {moment.name}: {verdict}; taken over after {took:.1f} s")
    assert verdict.clean, verdict
    assert verdict.delivered == 600
    terms = streams.terms(await world.messages())
    assert terms == sorted(terms)
    return took


@asynccontextmanager
async def worlds(postgres_url: str, nats_url: str, stream: str, number: int) -> AsyncIterator[tuple[World, World]]:
    """One table and two streams for it."""
    async with database(postgres_url) as url:
        name = f"{stream}_{number}"
        yield (
            await World.make(url, nats_url, name, name.lower()),
            World.on(url, nats_url, f"{name}_MUTANT", f"{name.lower()}_mutant"),
        )


@pytest.mark.mutant
async def test_the_lock_of_a_leader_that_stands_still_is_freed(
    postgres_url: str, nats_url: str, stream_name: str
) -> None:
    async def at(number: int, moment: Moment) -> None:
        async with worlds(postgres_url, nats_url, stream_name, number) as (world, mutant_world):
            await stop_and_wake(world, mutant_world, moment)

    async with asyncio.TaskGroup() as group:
        for number, moment in enumerate(MOMENTS):
            group.create_task(at(number, moment))


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.name)
async def test_it_is_freed_within_eight_seconds(
    postgres_url: str, nats_url: str, stream_name: str, moment: Moment
) -> None:
    for number in range(5):
        async with worlds(postgres_url, nats_url, stream_name, number) as (world, mutant_world):
            assert await stop_and_wake(world, mutant_world, moment) < 8
