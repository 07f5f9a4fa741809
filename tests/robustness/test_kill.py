"""kill -9 of a random process at a random moment, again and again, while sixteen callers work."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator, Mapping

import pytest

from tests.fixtures.system import System
from tests.support.robustness.ledger import Ledger
from tests.support.robustness.traffic import Traffic, held_transaction, install_adversary
from tests.support.robustness.validate import Findings, published_events, unapplied_events, validate, written_events
from tests.support.waiting import eventually

PROCESSES = ("command", "relay", "query-project", "query-serve")


def chosen_seed() -> int:
    """TANDEM_TEST_SEED, or a new one."""
    return int(os.environ.get("TANDEM_TEST_SEED") or random.randrange(1_000_000))


async def work_of(system: System, ledger: Ledger, process: str) -> int:
    """What the process has under way at this moment: calls to answer, events to publish, events to apply."""
    if process in ledger.in_flight:
        return ledger.in_flight[process]
    if process == "relay":
        published = {event_id for event_id, _, _ in await published_events(system.nats_url, system.stream)}
        return len(set(await written_events(system.postgres_url)) - published)
    return await unapplied_events(system)


async def kill_at_work(system: System, ledger: Ledger, process: str) -> int:
    """Kills the process at a moment when it is at work, if there is one soon; how much it had under way."""
    for _ in range(100):
        work = await work_of(system, ledger, process)
        if work > 0 and system.kill(process):
            return work
        await asyncio.sleep(0.01)
    await eventually(lambda: system.kill(process), f"{process} runs and can be killed")
    return 0


def victims(source: random.Random, rounds: int, hits: Mapping[str, int]) -> Iterator[str]:
    """Every process in random order, then any; after `rounds`, those that were not hit at work yet, until all were."""
    yield from source.sample(PROCESSES, len(PROCESSES))
    yield from source.choices(PROCESSES, k=rounds - len(PROCESSES))
    for _ in range(20):  # a loaded machine leaves some idle at the moment of the kill: bounded, so that it can fail
        yield from [process for process in PROCESSES if hits[process] == 0]


async def kills(system: System, rounds: int, seed: int) -> None:
    """The test itself: `rounds` kills under traffic, then the books."""
    source, ledger, hits = random.Random(seed), Ledger(), dict.fromkeys(PROCESSES, 0)
    print(f"seed {seed}")
    await install_adversary(system.postgres_url)
    async with Traffic(system, ledger, seed), held_transaction(system.postgres_url):
        for number, victim in enumerate(victims(source, rounds, hits), 1):
            await asyncio.sleep(source.uniform(0.5, 2.0))
            work = await kill_at_work(system, ledger, victim)
            hits[victim] += work > 0
            before = ledger.acknowledged
            await eventually(lambda count=before: ledger.acknowledged >= count + 16, "callers go on")  # type: ignore[misc]
            print(f"{number}/{rounds}: {victim} killed with {work} in flight, {ledger.acknowledged} acknowledged")
    findings = await validate(system, ledger)
    assert findings == Findings()
    assert ledger.stale_reads == []
    assert ledger.acknowledged > 16 * rounds
    assert all(hits.values()), f"some process was never killed at work: {hits}"
    assert ledger.retried > 0, "no caller noticed anything: the kills hit nothing"


@pytest.mark.timeout(900)
async def test_five_kills(own_system: System) -> None:
    await kills(own_system, 5, chosen_seed())


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_a_hundred_kills(own_system: System) -> None:
    await kills(own_system, 100, chosen_seed())
