"""A rebuild rests while the generation that readers see lags, and makes progress all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from query_service.application.ports.errors import ReadStoreNotReady
from query_service.application.ports.generations import Phase
from query_service.application.ports.read_store import Freshness
from query_service.application.rebuilding.filling import Filler
from query_service.application.rebuilding.readers_first import (
    LAG_SECONDS,
    LONGEST_REST_SECONDS,
    STOPPED_SECONDS,
    ReadersFirst,
)
from tests.support.queries.rebuild_world import RebuildWorld
from tests.support.source_mutants import Mutant, noticed
from tests.unit.query_service.test_rebuild_actions import NeverPauses


class Readers:
    """A generation that is `lag` seconds behind at a time, given as a function of the time in seconds."""

    def __init__(self, lag: Callable[[float], float | None]) -> None:
        self.time, self._lag = 1_000.0, lag
        self.first = ReadersFirst(self.freshness, lambda: round(self.time * 1e6), clock=self.clock, sleep=self.sleep)

    def clock(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds

    async def freshness(self) -> Freshness | None:
        lag = self._lag(self.time)
        return None if lag is None else Freshness(round((self.time - lag) * 1e6), 1, "g1", 1, 1)

    async def rested(self) -> float:
        """Rests once, and returns for how long."""
        began = self.time
        await self.first.rest()
        return self.time - began


async def test_readers_who_keep_up_cost_nothing() -> None:
    assert await Readers(lambda time: LAG_SECONDS - 0.1).rested() == 0
    assert await Readers(lambda time: None).rested() == 0


async def test_a_rest_ends_when_readers_have_caught_up() -> None:
    assert await Readers(lambda time: 4.0 if time < 1_001.9 else 0.5).rested() == pytest.approx(2.0)


async def test_a_rest_is_bounded() -> None:
    assert await Readers(lambda time: 60.0).rested() == pytest.approx(LONGEST_REST_SECONDS, abs=0.3)


async def test_nothing_waits_for_a_generation_that_is_stopped() -> None:
    stopped = Readers(lambda time: time - 990.0)
    rested = [await stopped.rested() for _ in range(4)]
    assert sum(rested) == pytest.approx(STOPPED_SECONDS, abs=0.3)
    assert rested[-1] == 0


async def test_nothing_waits_for_a_generation_that_is_lost() -> None:
    def lost(time: float) -> float:
        raise ReadStoreNotReady("the alias orders does not exist")

    assert await Readers(lost).rested() == 0


async def check_workers_rest() -> None:
    world, rested = RebuildWorld(Phase.FILLING), list[int]()

    class Counting:
        async def rest(self) -> None:
            rested.append(1)
            await asyncio.sleep(0)

    for _ in range(3):
        world.source.place(2)
    filler = Filler(
        world,
        world.source,
        world.stores["g2"],
        NeverPauses,
        process="p",
        stream="ORDERS",
        now=lambda: 5,
        pace=Counting(),
    )
    await filler.run(1, "first")
    assert rested


async def test_workers_rest_after_a_page() -> None:
    await check_workers_rest()


@pytest.mark.mutant
async def test_workers_that_never_rest_are_noticed() -> None:
    with noticed(Mutant(Filler._fill, "await self._pace.rest()", "pass")):
        await check_workers_rest()


@pytest.mark.mutant
async def test_a_rest_without_regard_to_the_lag_is_noticed() -> None:
    with noticed(Mutant(ReadersFirst._lags, "not stopped and", "False and")):
        await test_a_rest_ends_when_readers_have_caught_up()


@pytest.mark.mutant
async def test_a_rebuild_that_fails_for_a_lost_generation_is_noticed() -> None:
    with noticed(
        Mutant(ReadersFirst._lags, "(DependencyDown, ReadStoreNotReady)", "TimeoutError"),
        or_raises=(ReadStoreNotReady,),
    ):
        await test_nothing_waits_for_a_generation_that_is_lost()
