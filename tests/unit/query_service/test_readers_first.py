"""A rebuild rests while the generation that readers see lags, and makes progress all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from query_service.application.ports.errors import DependencyDown, ReadStoreNotReady
from query_service.application.ports.generations import Phase
from query_service.application.ports.read_store import Freshness
from query_service.application.rebuilding.filling import Filler
from query_service.application.rebuilding.readers_first import (
    FIRST_REST_SECONDS,
    LAG_SECONDS,
    LONGEST_REST_SECONDS,
    LOOK_SECONDS,
    STOPPED_SECONDS,
    ReadersFirst,
)
from tests.support.queries.memory_source import PAGE_ORDERS
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


async def test_rests_become_shorter_while_readers_keep_up() -> None:
    readers = Readers(lambda time: LAG_SECONDS - 0.1)
    rested = [await readers.rested() for _ in range(600)]
    assert rested[0] == pytest.approx(FIRST_REST_SECONDS, rel=0.1)
    assert rested == sorted(rested, reverse=True)
    assert rested[-1] == 0


async def test_rests_become_longer_while_readers_lag_and_are_bounded() -> None:
    readers = Readers(lambda time: 60.0)
    rested = [await readers.rested() for _ in range(3)]
    assert rested[0] > FIRST_REST_SECONDS
    assert rested[1:] == pytest.approx([LONGEST_REST_SECONDS] * 2)


async def test_a_rest_ends_early_when_readers_have_caught_up() -> None:
    readers = Readers(lambda time: 4.0 if time < 1_002.0 else 0.5)
    assert 2.0 < await readers.rested() < LONGEST_REST_SECONDS / 2


async def check_workers_go_on_one_by_one() -> None:
    """Workers that come at different times rest for the same time, so they leave at different times."""
    readers = Readers(lambda time: 60.0)
    await readers.rested()
    left = []
    for came in (0.0, 7.0):
        readers.time = 2_000.0 + came
        await readers.rested()
        left.append(readers.time)
    assert left[1] - left[0] == pytest.approx(7.0)


async def test_workers_go_on_one_by_one() -> None:
    await check_workers_go_on_one_by_one()


async def test_soon_nobody_rests_for_a_generation_that_is_stopped() -> None:
    readers = Readers(lambda time: time - 900.0)
    rested = [await readers.rested() for _ in range(600)]
    assert rested[0] <= STOPPED_SECONDS + LOOK_SECONDS
    assert max(rested[1:]) <= FIRST_REST_SECONDS
    assert rested[-1] == 0


async def test_nobody_rests_for_a_generation_that_claims_nothing_yet() -> None:
    assert await Readers(lambda time: None).rested() == 0


async def test_rests_stay_while_the_generation_cannot_be_asked() -> None:
    answers = [True]

    def overloaded(time: float) -> float:
        if not answers[0]:
            raise DependencyDown("elasticsearch", "no answer")
        return 60.0

    readers = Readers(overloaded)
    await readers.rested()
    answers[0] = False
    assert await readers.rested() == pytest.approx(LONGEST_REST_SECONDS)


async def test_a_comparison_rests_for_less() -> None:
    readers = Readers(lambda time: 60.0)
    readers.first = ReadersFirst(
        readers.freshness, readers.first._now, longest=5.0, clock=readers.clock, sleep=readers.sleep
    )
    await readers.rested()
    assert await readers.rested() == pytest.approx(5.0)


async def test_nobody_rests_for_a_generation_that_is_lost() -> None:
    def lost(time: float) -> float:
        raise ReadStoreNotReady("the alias orders does not exist")

    assert await Readers(lost).rested() == 0


async def check_workers_rest() -> None:
    world, rested = RebuildWorld(Phase.FILLING), list[int]()

    class Counting:
        async def rest(self) -> None:
            rested.append(1)
            await asyncio.sleep(0)

    for _ in range(PAGE_ORDERS + 1):
        world.source.place(1)
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
    assert len(rested) == 2, "one rest after each of two pages"


async def test_workers_rest_after_a_page() -> None:
    await check_workers_rest()


@pytest.mark.mutant
async def test_workers_that_never_rest_are_noticed() -> None:
    with noticed(Mutant(Filler._fill, "await self._pace.rest()", "pass")):
        await check_workers_rest()


MUTANTS = {
    "the lag does not matter": (
        Mutant(ReadersFirst._look, "> LAG_SECONDS", "> 1e9"),
        test_rests_become_longer_while_readers_lag_and_are_bounded,
    ),
    "no bound": (
        Mutant(ReadersFirst._look, "self._longest", "90.0"),
        test_rests_become_longer_while_readers_lag_and_are_bounded,
    ),
    "long rests stay": (
        Mutant(ReadersFirst._look, "* SHORTER", "* 1.0"),
        test_rests_become_shorter_while_readers_keep_up,
    ),
    "a rest for a lost generation": (
        Mutant(ReadersFirst._look, "except ReadStoreNotReady:", "except TimeoutError:"),
        test_nobody_rests_for_a_generation_that_is_lost,
    ),
    "no rest when it cannot be asked": (
        Mutant(ReadersFirst._look, "except ReadStoreNotReady:", "except (ReadStoreNotReady, DependencyDown):"),
        test_rests_stay_while_the_generation_cannot_be_asked,
    ),
}


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", MUTANTS)
async def test_a_pace_that_goes_wrong_is_noticed(mutant: str) -> None:
    at_work, check = MUTANTS[mutant]
    with noticed(at_work, or_raises=(ReadStoreNotReady,)):
        await check()
