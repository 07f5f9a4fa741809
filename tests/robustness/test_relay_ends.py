"""The relay killed, stopped and doubled while writers write: each event once in the stream, in order."""

from __future__ import annotations

import asyncio
import random
import signal
import statistics
import time

import pytest

from tests.relaying import streams
from tests.relaying.chance import new_seed, tell
from tests.relaying.relay_process import RelayProcess, running
from tests.relaying.world import World
from tests.relaying.writers import Writers


async def end_again_and_again(world: World, rounds: int, seed: int, *, publish: str, writers: int = 16) -> None:
    """Ends the relay `rounds` times, by SIGKILL or SIGTERM, at random moments of work in flight."""
    chance = random.Random(seed)
    hits, stops = 0, []
    work = Writers(world.database_url, seed=seed, count=writers, aggregates=50, prepare=True)
    async with work.writing() as ledger:
        for turn in range(rounds):
            relay = world.relay(publish=publish)
            await relay.start()
            await relay.wait_for_state("PUBLISHING")
            await asyncio.sleep(chance.random() * 0.4)
            before = (await streams.state(world.nats_url, world.stream))[1]
            await asyncio.sleep(chance.random() * 0.1)
            if chance.random() < 0.75:
                await relay.kill()
            else:
                began = time.monotonic()
                assert await relay.stop() == 0, relay.text
                stops.append(time.monotonic() - began)
            hits += (await streams.state(world.nats_url, world.stream))[1] > before
            if turn % 10 == 9:
                tell(f"round {turn + 1}: {len(ledger.committed)} committed")
    async with running(world.relay(publish=publish)) as relay:
        await world.drained(relay)
        assert await relay.stop() == 0, relay.text
    verdict = await world.verdict(ledger)
    tell(f"{verdict}, {hits} of {rounds} ends hit work in flight, longest stop {max(stops, default=0):.2f} s")
    assert verdict.clean, verdict
    assert hits >= rounds // 2
    assert verdict.delivered > 20 * rounds


@pytest.mark.parametrize("publish", ["chain", "atomic"])
async def test_ended_at_random_moments(world: World, publish: str) -> None:
    await end_again_and_again(world, 5, new_seed(), publish=publish)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("publish", ["chain", "atomic"])
async def test_ended_at_random_moments_a_hundred_times(world: World, publish: str) -> None:
    await end_again_and_again(world, 100, new_seed(), publish=publish, writers=64)


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


async def leader_of(*relays: RelayProcess, seconds: float = 20.0) -> RelayProcess:
    """The relay that publishes."""
    deadline = time.monotonic() + seconds
    while True:
        for relay in relays:
            assert relay.returncode is None, relay.text
            if (await relay.page())["state"] == "PUBLISHING":
                return relay
        assert time.monotonic() < deadline, [relay.text for relay in relays]
        await asyncio.sleep(0.01)


async def terms(world: World) -> list[int]:
    """The term of each message, in the stream's order."""
    return [int(message.headers["Tandem-Term"]) for message in await world.messages()]


async def test_a_standby_takes_over_from_a_killed_leader(world: World) -> None:
    rounds, took = 3, []
    work = Writers(world.database_url, seed=new_seed(), count=8, aggregates=50)
    standby = world.relay()
    await standby.start()
    async with work.writing() as ledger:
        leader = await leader_of(standby)
        for _ in range(rounds):
            standby = world.relay()
            await standby.start()
            await standby.wait_for_state("STANDBY")
            assert await leader_of(leader, standby) is leader
            began = time.monotonic()
            leader.signal(signal.SIGKILL)
            assert await leader_of(standby) is standby
            took.append(time.monotonic() - began)
            assert await leader.ended() == -signal.SIGKILL
            leader = standby
    async with running_already(leader):
        await world.drained(leader)
    verdict = await world.verdict(ledger)
    tell(f"{verdict}; takeover after kill -9: median {statistics.median(took):.2f} s, longest {max(took):.2f} s")
    assert verdict.clean, verdict
    order = await terms(world)
    assert order == sorted(order)
    assert len(set(order)) >= rounds + 1


class running_already:  # noqa: N801 - reads like `running`
    """Kills a relay that was started elsewhere at the end of the block."""

    def __init__(self, relay: RelayProcess) -> None:
        self._relay = relay

    async def __aenter__(self) -> RelayProcess:
        return self._relay

    async def __aexit__(self, *_: object) -> None:
        if self._relay.returncode is None:
            await self._relay.kill()
