"""The relay killed, stopped and doubled while writers write: each event once in the stream, in order."""

from __future__ import annotations

import asyncio
import random
import signal
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack

import pytest

from tests.support.chance import new_seed, tell
from tests.support.relay import streams
from tests.support.relay.log_mode import KNOWN, in_mode, more_committed
from tests.support.relay.relay_process import running
from tests.support.relay.world import World
from tests.support.relay.writers import Writers

SECONDS = 120.0


async def end_again_and_again(world: World, rounds: int, seed: int, *, publish: str, writers: int = 16) -> None:
    """Ends the only relay `rounds` times, by SIGKILL or SIGTERM, at random moments of work."""
    chance = random.Random(seed)
    work = Writers(world.database_url, seed=seed, count=writers, aggregates=50, prepare=True)
    async with work.writing() as ledger:
        for turn in range(rounds):
            async with running(world.relay(publish=publish)) as relay:
                await relay.wait_for_state("PUBLISHING")
                await relay.stored(30)
                await asyncio.sleep(chance.random() * 0.3)
                if chance.random() < 0.75:
                    await relay.kill()
                else:
                    assert await relay.stop() == 0, relay.text
                assert KNOWN not in relay.text
            if turn % 10 == 9:
                tell(f"round {turn + 1}: {len(ledger.committed)} committed")
        await more_committed(ledger, 20 * rounds + 1 - len(ledger.committed))
    async with running(world.relay(publish=publish)) as relay:
        await world.drained(relay)
        assert await relay.stop() == 0, relay.text
    verdict = await world.verdict(ledger)
    tell(str(verdict))
    assert verdict.clean, verdict
    assert verdict.delivered > 20 * rounds


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("publish", "rounds", "writers"),
    [
        ("atomic", 3, 16),
        pytest.param("atomic", 100, 64, marks=pytest.mark.long),
        pytest.param("chain", 100, 64, marks=pytest.mark.long),
    ],
)
async def test_ended_at_random_moments(world: World, publish: str, rounds: int, writers: int) -> None:
    await end_again_and_again(world, rounds, new_seed(), publish=publish, writers=writers)


async def test_a_stop_leaves_a_barrier_and_nothing_to_repeat(world: World) -> None:
    async with running(world.relay()) as relay:
        await relay.wait_for_state("PUBLISHING")
        await world.insert(5_000)
        while not await world.events():
            await asyncio.sleep(0.01)
        assert await relay.stop() == 0, relay.text
    stored = await world.messages()
    assert "Tandem-Cursor" in stored[-1].headers
    async with running(world.relay()) as relay:
        await world.drained(relay)
    verdict = await world.verdict()
    assert verdict.clean, verdict
    assert verdict.delivered == 5_000


async def terms(world: World) -> list[int]:
    """The term of each message, in the stream's order."""
    return streams.terms(await world.messages())


async def hand_over(
    world: World, ends: Sequence[signal.Signals], seed: int, *, mode: str, writers: int
) -> dict[signal.Signals, list[float]]:
    """Ends the leader by each of the signals in turn, with a standby beside it; seconds until that one publishes."""
    chance, took = random.Random(seed), defaultdict[signal.Signals, list[float]](list)
    settings = {"mode": mode}
    work = Writers(world.database_url, seed=seed, count=writers, aggregates=50)
    async with AsyncExitStack() as relays, work.writing() as ledger:
        leader = await relays.enter_async_context(running(world.relay(**settings)))
        for turn, end in enumerate(ends, 1):
            await in_mode(leader, "poll" if mode == "poll" else "wal")
            standby = await relays.enter_async_context(running(world.relay(**settings)))
            await standby.wait_for_state("STANDBY", SECONDS)
            await leader.stored(30)
            await asyncio.sleep(chance.random() * 0.3)
            began = time.monotonic()
            leader.signal(end)
            await standby.wait_for_state("PUBLISHING", SECONDS)
            took[end].append(time.monotonic() - began)
            assert await leader.ended() == (0 if end is signal.SIGTERM else -end)
            assert KNOWN not in leader.text, "the stream's memory for ids has hidden a repeated event"
            leader = standby
            if turn % 10 == 0:
                tell(f"round {turn}: {len(ledger.committed)} committed")
        await work.finish()
        await world.drained(leader)
        assert KNOWN not in leader.text
    verdict = await world.verdict(ledger)
    figures = ", ".join(
        f"{end.name}: median {statistics.median(every):.2f} s, longest {max(every):.2f} s"
        for end, every in took.items()
    )
    tell(f"{verdict}; takeover after {figures}")
    assert verdict.clean, verdict
    order = await terms(world)
    assert order == sorted(order)
    assert len(set(order)) >= len(ends) + 1
    return took


@pytest.mark.parametrize("mode", ["auto", pytest.param("poll", marks=pytest.mark.long)])
async def test_a_standby_takes_over(world: World, mode: str) -> None:
    await hand_over(world, [signal.SIGKILL, signal.SIGTERM, signal.SIGKILL], new_seed(), mode=mode, writers=8)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", ["auto", "poll"])
async def test_a_standby_takes_over_from_a_killed_leader_a_hundred_times(world: World, mode: str) -> None:
    took = await hand_over(world, [signal.SIGKILL] * 100, new_seed(), mode=mode, writers=64)
    assert statistics.median(took[signal.SIGKILL]) < 3


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", ["auto", "poll"])
async def test_a_leader_that_is_told_to_stop_hands_over_within_a_second(world: World, mode: str) -> None:
    took = await hand_over(world, [signal.SIGTERM] * 30, new_seed(), mode=mode, writers=8)
    assert max(took[signal.SIGTERM]) < 1
