"""kill -9 of a random process at a random moment, again and again, while sixteen callers work."""

from __future__ import annotations

import asyncio
import os
import random

import pytest

from tests.fixtures.system import System
from tests.fixtures.waiting import eventually
from tests.robustness.ledger import Ledger
from tests.robustness.traffic import Traffic, held_transaction, install_adversary
from tests.robustness.validate import Findings, validate

PROCESSES = ("command", "relay", "query-project", "query-serve")


def chosen_seed() -> int:
    """TANDEM_TEST_SEED, or a new one."""
    return int(os.environ.get("TANDEM_TEST_SEED") or random.randrange(1_000_000))


async def kills(system: System, rounds: int, seed: int) -> None:
    """The test itself: `rounds` kills under traffic, then the books."""
    source, ledger, hits = random.Random(seed), Ledger(), dict.fromkeys(PROCESSES, 0)
    print(f"seed {seed}")
    await install_adversary(system.postgres_url)
    async with Traffic(system, ledger, seed), held_transaction(system.postgres_url):
        # every process at least once, in random order, then any
        victims = source.sample(PROCESSES, len(PROCESSES)) + source.choices(PROCESSES, k=rounds)
        for number, victim in enumerate(victims[:rounds], 1):
            await asyncio.sleep(source.uniform(0.5, 2.0))
            in_flight, before = ledger.in_flight, ledger.acknowledged
            await eventually(lambda name=victim: system.kill(name), f"{victim} runs and can be killed")  # type: ignore[misc]
            hits[victim] += in_flight > 0
            await eventually(lambda count=before: ledger.acknowledged >= count + 16, "callers go on")  # type: ignore[misc]
            print(
                f"{number}/{rounds}: {victim} killed, {in_flight} calls in flight, {ledger.acknowledged} acknowledged"
            )
    findings = await validate(system, ledger)
    assert findings == Findings()
    assert ledger.acknowledged > 16 * rounds
    if rounds >= len(PROCESSES):
        assert all(hits.values()), f"no kill hit work in flight: {hits}"
    assert ledger.retried > 0, "no caller noticed anything: the kills hit nothing"


@pytest.mark.timeout(300)
async def test_five_kills(own_system: System) -> None:
    await kills(own_system, 5, chosen_seed())


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_a_hundred_kills(own_system: System) -> None:
    await kills(own_system, 100, chosen_seed())
