"""Refreshes are shared and bounded, and none counts that began before it was asked for."""

import asyncio
from collections.abc import Callable

import pytest

from query_service.application.freshness.coalesced_refresh import CoalescedRefresh
from query_service.application.ports.errors import DependencyDown
from tests.support.virtual_time import in_virtual_time


class Index:
    """What is applied, and what of it is searchable: a refresh shows what was there when it began."""

    def __init__(self, *, seconds: float = 0.02, least_pause: float = 0.05) -> None:
        self.applied = self.searchable = 0
        self.begun: list[float] = []
        self.running = self.most_running = 0
        self.seconds = seconds
        self.failure: Exception | None = None
        self.clock = asyncio.get_running_loop().time
        self.refresh = CoalescedRefresh(self._refresh, self.clock, least_pause=least_pause)

    async def _refresh(self) -> bool:
        self.begun.append(self.clock())
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        seen = self.applied
        await asyncio.sleep(self.seconds)
        self.running -= 1
        if self.failure is not None:
            raise self.failure
        self.searchable = max(self.searchable, seen)
        return True

    async def write_and_find(self) -> bool:
        self.applied += 1
        mine = self.applied
        await self.refresh.catch_up()
        return self.searchable >= mine


@in_virtual_time
async def test_what_was_applied_before_is_searchable_after() -> None:
    index = Index()
    assert await index.write_and_find()


@in_virtual_time
async def test_a_refresh_that_runs_already_does_not_count() -> None:
    index = Index()
    first = asyncio.create_task(index.write_and_find())
    while not index.running:
        await asyncio.sleep(0)
    assert await index.write_and_find()
    assert await first
    assert len(index.begun) == 2


@pytest.mark.mutant
def test_mutant_a_refresh_is_joined_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant: whoever comes while a refresh runs takes that one."""
    following: Callable[[CoalescedRefresh], asyncio.Task[bool]] = CoalescedRefresh.following

    def joining(self: CoalescedRefresh) -> asyncio.Task[bool]:
        return self._running if self._running is not None and not self._running.done() else following(self)

    monkeypatch.setattr(CoalescedRefresh, "following", joining)
    with pytest.raises(AssertionError):
        test_a_refresh_that_runs_already_does_not_count()


@in_virtual_time
async def test_a_hundred_callers_share_and_wait_their_turn() -> None:
    index = Index()
    started = index.clock()

    async def caller(number: int) -> bool:
        found = True
        for _ in range(5):
            await asyncio.sleep(0.001 * (number % 10))
            found = found and await index.write_and_find()
        return found

    assert all(await asyncio.gather(*(caller(number) for number in range(100))))
    took = index.clock() - started
    assert index.most_running == 1
    assert len(index.begun) <= took / 0.05 + 2
    pauses = [after - before for before, after in zip(index.begun, index.begun[1:], strict=False)]
    assert min(pauses) >= 0.049


@in_virtual_time
async def test_a_caller_who_leaves_takes_nobody_along() -> None:
    index = Index()
    index.applied = 1
    leaving, staying = asyncio.create_task(index.refresh.catch_up()), asyncio.create_task(index.refresh.catch_up())
    await asyncio.sleep(0.005)
    leaving.cancel()
    await staying
    assert index.searchable == 1
    assert len(index.begun) == 1


@in_virtual_time
async def test_a_failure_reaches_those_who_wait_and_is_forgotten() -> None:
    index = Index()
    index.failure = DependencyDown("elasticsearch", "away")
    index.refresh.following()  # nobody waits for it
    with pytest.raises(DependencyDown):
        await index.refresh.catch_up()
    index.failure = None
    assert await index.write_and_find()


@in_virtual_time
async def test_the_refreshes_of_others_are_kept_at_a_distance() -> None:
    index = Index(seconds=0.0, least_pause=5.0)
    assert await index.write_and_find()
    index.refresh.begun_elsewhere()
    waiting = asyncio.create_task(index.write_and_find())
    await asyncio.sleep(3)
    index.refresh.begun_elsewhere()  # while ours waits for its turn
    await asyncio.sleep(4)
    assert index.begun == [0.0]
    assert await waiting
    assert index.begun == [0.0, 8.0]


@pytest.mark.mutant
def test_mutant_only_our_own_refreshes_are_kept_at_a_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CoalescedRefresh, "begun_elsewhere", lambda self: None)
    with pytest.raises(AssertionError):
        test_the_refreshes_of_others_are_kept_at_a_distance()


@pytest.mark.mutant
def test_mutant_the_pause_is_decided_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever began while ours waited is not seen."""
    decided: list[float] = []

    def pause(self: CoalescedRefresh) -> float:
        decided.append(self._begun_at + self._least_pause - self._clock())
        return 0.0 if len(decided) > 2 and decided[-2] > 0 else decided[-1]

    monkeypatch.setattr(CoalescedRefresh, "_pause", pause)
    with pytest.raises(AssertionError):
        test_the_refreshes_of_others_are_kept_at_a_distance()
