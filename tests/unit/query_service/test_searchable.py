"""A serving process makes lists current by asking; without an answer the search itself tells what it shows."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from query_service.application.freshness.searchable import AskedSearchability
from query_service.application.freshness.view import FreshnessView
from query_service.application.ports.errors import DependencyDown
from query_service.application.ports.order_questions import NOT_LISTED, Edition
from query_service.application.ports.read_store import Freshness
from tests.support.source_mutants import Mutant, noticed
from tests.support.virtual_time import in_virtual_time

ONE, TWO = "one", "two"


class Outcomes(list[str]):
    """How waits ended."""

    def searchable(self, outcome: str, seconds: float) -> None:
        self.append(outcome)


class World:
    """An index, what of it searches show, and somebody who refreshes it when asked, unless they are away."""

    def __init__(self) -> None:
        self.applied: dict[str, Edition] = {}
        self.shown: dict[str, Edition] = {}
        self.away = False
        self.asked = self.looked = 0
        self.failure: Exception | None = None
        self.free = asyncio.Event()
        self.free.set()
        self.view, self.listed, self.outcomes = FreshnessView(), FreshnessView(), Outcomes()
        self.clock = asyncio.get_running_loop().time
        self.lists = AskedSearchability(self._ask, self._listed, self.view, self.listed, self.clock, self.outcomes)

    async def _ask(self) -> bool:
        self.asked += 1
        seen = dict(self.applied)
        await self.free.wait()
        if not self.away:
            self.shown = seen
        return not self.away

    async def _listed(self, order_ids: Sequence[str]) -> list[Edition]:
        self.looked += 1
        if self.failure is not None:
            raise self.failure
        return [self.shown.get(order_id, NOT_LISTED) for order_id in order_ids]


@in_virtual_time
async def test_what_is_asked_for_is_searchable_then() -> None:
    world = World()
    world.applied = {ONE: (1, 2)}
    assert await world.lists.missing({ONE: (1, 2)}, 5) == {}
    assert (world.shown, world.asked, world.looked, world.outcomes) == ({ONE: (1, 2)}, 1, 0, ["refreshed"])


@in_virtual_time
async def test_a_hundred_callers_ask_twice() -> None:
    world = World()
    world.free.clear()
    early = [asyncio.create_task(world.lists.missing({ONE: (1, 1)}, 5)) for _ in range(50)]
    while not world.asked:
        await asyncio.sleep(0)
    world.applied = {ONE: (1, 1)}
    late = [asyncio.create_task(world.lists.missing({ONE: (1, 1)}, 5)) for _ in range(50)]
    await asyncio.sleep(0)
    world.free.set()
    await asyncio.gather(*early, *late)
    assert world.asked == 2  # the first did not count for those who came later
    assert world.shown == world.applied


@in_virtual_time
async def test_without_an_answer_the_search_tells() -> None:
    world = World()
    world.away = True
    waiting = asyncio.create_task(world.lists.missing({ONE: (1, 2), TWO: (1, 1)}, 5))
    world.shown = {ONE: (1, 1), TWO: (1, 4)}
    while world.looked < 2 and not waiting.done():
        await asyncio.sleep(0.01)
    assert not waiting.done()
    world.shown[ONE] = (1, 2)  # the index's own refresh
    assert await waiting == {}
    assert (world.asked, world.outcomes) == (1, ["verified"])


@in_virtual_time
async def test_what_stays_missing_is_named_when_the_time_is_over() -> None:
    world = World()
    world.away = True
    world.shown = {ONE: (1, 1), TWO: (1, 4)}
    assert await world.lists.missing({ONE: (1, 2), TWO: (1, 1)}, 0.25) == {ONE: 1}
    assert world.outcomes == ["behind"]


@in_virtual_time
async def test_whoever_does_not_want_to_wait_gets_one_search() -> None:
    world = World()
    world.shown = {ONE: (1, 1)}
    assert await world.lists.missing({ONE: (1, 1)}, 0) == {}
    assert await world.lists.missing({ONE: (1, 2)}, 0) == {ONE: 1}
    assert (world.asked, world.looked) == (0, 2)


@in_virtual_time
async def test_an_answer_that_does_not_come_is_not_waited_for_longer_than_asked() -> None:
    world = World()
    world.free.clear()
    assert await world.lists.missing({ONE: (1, 2)}, 0.1) == {ONE: 0}
    assert world.clock() == pytest.approx(0.1)
    world.free.set()


@in_virtual_time
async def test_the_same_version_of_an_earlier_source_does_not_count() -> None:
    world = World()
    world.shown = {ONE: (1, 7)}
    assert await world.lists.missing({ONE: (2, 3)}, 0) == {ONE: 7}


@in_virtual_time
async def test_what_is_old_enough_is_looked_for_first() -> None:
    world = World()
    world.shown = {ONE: (1, 1)}
    assert await world.lists.missing({ONE: (1, 1)}, 5, settled=True) == {}
    assert world.asked == 0
    world.applied = {TWO: (1, 1)}
    assert await world.lists.missing({TWO: (1, 1)}, 5, settled=True) == {}
    assert world.asked == 1


@in_virtual_time
async def test_a_search_that_fails_is_no_absence() -> None:
    world = World()
    world.away, world.failure = True, DependencyDown("elasticsearch", "away")
    with pytest.raises(DependencyDown):
        await world.lists.missing({ONE: (1, 1)}, 5)


@in_virtual_time
async def test_lists_are_as_fresh_as_what_was_known_when_the_refresh_was_asked_for() -> None:
    world = World()
    world.view.observe(Freshness(10, 1, "g1", 1, 1))
    world.free.clear()
    first = asyncio.create_task(world.lists.catch_up())
    while not world.asked:
        await asyncio.sleep(0)
    world.view.observe(Freshness(20, 1, "g1", 1, 2))
    assert world.listed.latest is None
    world.free.set()
    assert await first
    assert world.listed.latest == Freshness(10, 1, "g1", 1, 1)
    assert await world.lists.catch_up()
    assert world.listed.latest == Freshness(20, 1, "g1", 1, 2)
    world.away = True
    world.view.observe(Freshness(30, 1, "g1", 1, 3))
    assert not await world.lists.catch_up()
    assert world.listed.latest == Freshness(20, 1, "g1", 1, 2)


@in_virtual_time
async def test_after_silence_lists_do_not_wait_for_a_while() -> None:
    world = World()
    assert world.lists.answering
    world.away = True
    assert not await world.lists.catch_up()
    assert not world.lists.answering
    world.away = False
    assert await world.lists.catch_up()
    assert world.lists.answering


_MISSING = AskedSearchability.missing
#: What goes wrong → the mutant, and the test that must notice it.
MUTANTS: dict[str, tuple[Mutant, Callable[[], None]]] = {
    "silence is taken for an answer": (
        Mutant(_MISSING, "await self._refreshed_within(within):", "(await self._refreshed_within(within) or True):"),
        test_without_an_answer_the_search_tells,
    ),
    "an answer that does not come is waited for": (
        Mutant(AskedSearchability._refreshed_within, "timeout=seconds", "timeout=None"),
        test_an_answer_that_does_not_come_is_not_waited_for_longer_than_asked,
    ),
    "versions of an earlier source count": (
        Mutant(AskedSearchability._unsearchable, "edition < wanted", "edition[1] < wanted[1]"),
        test_the_same_version_of_an_earlier_source_does_not_count,
    ),
    "what is old is taken for searchable": (
        Mutant(_MISSING, "(settled and not await self._unsearchable(applied))", "settled"),
        test_what_is_old_enough_is_looked_for_first,
    ),
    "lists are as fresh as what came meanwhile": (
        Mutant(AskedSearchability._refreshed, "observe(applied)", "observe(self._applied.latest)"),
        test_lists_are_as_fresh_as_what_was_known_when_the_refresh_was_asked_for,
    ),
    "lists are fresh without an answer": (
        Mutant(AskedSearchability._refreshed, "return False", "self._current.observe(applied); return False"),
        test_lists_are_as_fresh_as_what_was_known_when_the_refresh_was_asked_for,
    ),
    "who was silent is not asked again": (
        Mutant(AskedSearchability._refreshed, "self._silent_since = None", "pass"),
        test_after_silence_lists_do_not_wait_for_a_while,
    ),
    "silence is forgotten": (
        Mutant(AskedSearchability._refreshed, "self._silent_since = self._clock()", "pass"),
        test_after_silence_lists_do_not_wait_for_a_while,
    ),
}


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_wait_for_searches_that_goes_wrong_is_noticed(mutant: str) -> None:
    at_work, check = MUTANTS[mutant]
    # The loop says so when everybody waits without an end.
    with noticed(at_work, or_raises=(RuntimeError,)):
        check()
