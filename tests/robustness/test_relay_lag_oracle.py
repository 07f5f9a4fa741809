"""The lag that relays tell against an oracle that knows afterwards what it was: at work, in outages, and after them."""

from __future__ import annotations

import asyncio
import signal
from statistics import quantiles

import pytest

from tests.fixtures.private_servers import PrivateNats
from tests.support.chance import tell
from tests.support.relay.lag_oracle import LagOracle, Sample, sampled
from tests.support.relay.log_mode import in_mode
from tests.support.relay.relay_process import RelayProcess, running
from tests.support.relay.world import World
from tests.support.waiting import eventually

LEADER_SECONDS = 0.1
STANDBY_SECONDS = 1.2
#: So many answers of each relay make a part of the test: at work, in an outage, after it.
SAMPLES = 120


class Asking:
    """Asks relays for their lag while the block runs."""

    def __init__(self, *relays: RelayProcess) -> None:
        self._relays = relays
        self._stop = asyncio.Event()
        self.samples: list[list[Sample]] = [[] for _ in relays]

    async def __aenter__(self) -> list[list[Sample]]:
        self._tasks = [
            asyncio.create_task(sampled(relay, samples, self._stop))
            for relay, samples in zip(self._relays, self.samples, strict=True)
        ]
        return self.samples

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)


async def asked_more(samples: list[list[Sample]]) -> None:
    """Returns when each relay has told its lag often enough for this part of the test to count."""
    told = [len(one) for one in samples]
    await eventually(
        lambda: all(len(one) >= before + SAMPLES for one, before in zip(samples, told, strict=True)),
        f"{SAMPLES} more answers of each relay",
    )


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", ["auto", "poll"])
async def test_what_leader_and_standby_tell_is_true(
    postgres_database: str, private_nats: PrivateNats, mode: str
) -> None:
    server = await private_nats()
    world = await World.make(postgres_database, server.url, "ORDERS", "orders")
    oracle = LagOracle(world)
    async with running(world.relay(mode=mode)) as leader:
        await in_mode(leader, "poll" if mode == "poll" else "wal")
        async with running(world.relay(mode=mode)) as standby:
            await standby.wait_for_state("STANDBY")
            async with Asking(leader, standby) as samples:
                for _ in range(3):
                    async with oracle.writing(4, 0.02):
                        await asked_more(samples)
                        await server.kill()
                        await asked_more(samples)
                        await server.restart()
                        await asked_more(samples)
                    await world.drained(leader)
                    # An outage in which the first event comes late. Nobody but the leader can know what NATS stored
                    # after it was last asked, so the standby has asked before.
                    seen = len(samples[1])
                    await eventually(lambda n=seen: 0 in [one.age for one in samples[1][n:]], "standby: no lag")  # type: ignore[misc]
                    await server.kill()
                    await asked_more(samples)
                    async with oracle.writing(1, 0.5):
                        await asked_more(samples)
                    await server.restart()
                    await world.drained(leader)
            of_leader, of_standby = [await oracle.errors(one) for one in samples]
            # a leader that stands still: the standby tells of it until it has taken over
            async with oracle.writing(2, 0.05):
                await world.drained(leader)
                leader.signal(signal.SIGSTOP)
                async with Asking(standby) as (growing,):
                    while (await standby.page())["state"] == "STANDBY":
                        await asyncio.sleep(0.1)
            await world.drained(standby)
            of_standby += await oracle.errors(growing)
            assert max(sample.age for sample in growing) > 3
    following, leading = told("standby", of_standby), told("leader", of_leader)
    assert leading < LEADER_SECONDS
    assert following < STANDBY_SECONDS


def told(who: str, errors: list[float]) -> float:
    """What all samples but one in a hundred are within: a leader that has stored events and was never told so, because
    NATS died in between, cannot know the truth."""
    cuts = quantiles(errors, n=1000)
    tell(
        f"{who}: {len(errors)} samples, error p50 {cuts[499]:.3f} s, p99 {cuts[989]:.3f} s, p99.9 {cuts[998]:.3f} s,"
        f" most {max(errors):.3f} s"
    )
    return cuts[989]
