"""Waiting for versions: no notice is missed, no wait is longer than asked, no answer is older than promised."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable

import pytest

from query_service.application.freshness.await_versions import RECHECK_SECONDS, Consistency, ReadAttempt, VersionWaiter
from query_service.application.freshness.notice_board import NoticeBoard, Wake
from query_service.application.freshness.view import FreshnessView
from query_service.application.ports.errors import Lagging, TokenOfOtherSource
from query_service.application.ports.read_store import Freshness
from tests.support.source_mutants import Mutant, noticed
from tests.support.virtual_time import in_virtual_time

ORDER = str(uuid.uuid4())


class Waits:
    def __init__(self) -> None:
        self.outcomes: list[str] = []

    def waited(self, outcome: str, seconds: float) -> None:
        self.outcomes.append(outcome)


class World:
    """A waiter over one order whose applied version the test sets."""

    def __init__(self, *, recheck: float = 60.0) -> None:
        self.board, self.view, self.waits = NoticeBoard(), FreshnessView(), Waits()
        loop = asyncio.get_running_loop()
        self.waiter = VersionWaiter(self.board, self.view, loop.time, self.waits, recheck=recheck)
        self.version, self.epoch, self.reads = 0, 1, 0
        self.parked: set[int] = set()
        self.on_read: Callable[[int], Awaitable[None]] | None = None

    async def apply(self, version: int) -> None:
        self.version = version
        self.board.announce([ORDER])

    async def ask(self, needed: int, *, epoch: int = 1, max_wait: float = 5.0, stale: bool = False) -> tuple[int, bool]:
        """Version and staleness of the answer."""

        async def read() -> ReadAttempt[int]:
            self.reads += 1
            seen = self.version
            if self.on_read is not None:
                await self.on_read(self.reads)
            lacking = needed if needed > seen else 0
            hopeless = lacking in self.parked
            return ReadAttempt(seen or None, lacking, seen, self.epoch if seen else 0, hopeless, hopeless)

        wanted = Consistency(epoch, {ORDER: needed}, max_wait, stale)
        answer = await self.waiter.answer([ORDER], wanted, read)
        return answer.found, answer.info.stale


def waited() -> float:
    """Seconds that have passed in this test; waits alone take time."""
    return asyncio.get_running_loop().time()


@in_virtual_time
async def test_what_is_there_is_answered_at_once() -> None:
    world = World()
    world.version = 3
    assert await world.ask(3) == (3, False)
    assert (world.reads, world.waits.outcomes) == (1, [])
    assert len(world.board) == 0


@in_virtual_time
async def test_who_waits_long_reads_less_and_less_often() -> None:
    world, times = World(recheck=RECHECK_SECONDS), list[float]()

    async def note(_: int) -> None:
        times.append(waited())

    world.on_read = note
    with pytest.raises(Lagging):
        await world.ask(1)
    assert times == pytest.approx([0, 0.25, 0.75, 1.75, 2.75, 3.75, 4.75, 5.0])


@in_virtual_time
async def test_a_change_between_read_and_wait_is_not_missed() -> None:
    world = World()

    async def change(number: int) -> None:
        if number == 1:
            await world.apply(1)  # after the store was read, before the wait begins

    world.on_read = change
    assert await world.ask(1) == (1, False)
    assert waited() == 0
    assert (world.reads, world.waits.outcomes) == (2, ["applied"])


@in_virtual_time
async def test_a_notice_of_another_order_wakes_nobody() -> None:
    world = World()
    asking = asyncio.create_task(world.ask(1, max_wait=0.2))
    await asyncio.sleep(0.05)
    world.board.announce([str(uuid.uuid4())])
    with pytest.raises(Lagging):
        await asking
    assert world.reads == 2  # the first, and the last when the time was up


@in_virtual_time
async def test_a_notice_too_early_only_makes_it_read_again() -> None:
    world = World()
    world.version = 1
    asking = asyncio.create_task(world.ask(3))
    for version in (2, 3):
        await asyncio.sleep(0.05)
        await world.apply(version)
    assert await asking == (3, False)
    assert world.reads == 3


@in_virtual_time
async def test_without_notices_it_reads_again_by_itself() -> None:
    world = World(recheck=0.05)
    asking = asyncio.create_task(world.ask(1))
    while world.reads < 3 and not asking.done():
        await asyncio.sleep(0.01)
    world.version = 1
    assert await asking == (1, False)
    assert world.reads >= 4, "the first, and the last when the time was up, are not enough"


@pytest.mark.parametrize(("version", "stale"), [(0, False), (0, True), (1, False)])
@in_virtual_time
async def test_too_late_is_said_with_both_versions(version: int, stale: bool) -> None:
    world = World()
    world.version = version
    with pytest.raises(Lagging) as refusal:
        await world.ask(2, max_wait=0.05, stale=stale)
    assert (refusal.value.needed_version, refusal.value.current_version) == (2, version)
    assert world.waits.outcomes == ["behind"]


@in_virtual_time
async def test_stale_when_allowed() -> None:
    world = World()
    world.version = 1
    assert await world.ask(2, max_wait=3.0, stale=True) == (1, True)
    assert waited() == pytest.approx(3.0)
    assert world.waits.outcomes == ["stale"]


@in_virtual_time
async def test_no_wait_at_all_still_reads_once() -> None:
    world = World()
    world.version = 2
    assert await world.ask(2, max_wait=0) == (2, False)


@in_virtual_time
async def test_a_parked_version_ends_the_wait_for_those_who_take_stale() -> None:
    world = World()
    world.version, world.parked = 1, {2}
    assert await world.ask(2, max_wait=5, stale=True) == (1, True)
    assert waited() == 0


def following(epoch: int, as_of: int = 1) -> Freshness:
    return Freshness(as_of, epoch, "g1", 1, 1)


@in_virtual_time
async def test_a_token_of_an_earlier_source_is_refused_without_a_read() -> None:
    world = World()
    world.view.observe(following(2))
    with pytest.raises(TokenOfOtherSource):
        await world.ask(1, epoch=1, stale=True)
    assert (world.reads, waited()) == (0, 0)


@in_virtual_time
async def test_an_order_of_a_later_source_refuses_the_token_too() -> None:
    world = World()
    world.version, world.epoch = 1, 2
    with pytest.raises(TokenOfOtherSource):
        await world.ask(1, epoch=1)
    assert waited() == 0


@in_virtual_time
async def test_a_token_of_a_later_source_waits_for_it() -> None:
    world = World(recheck=0.02)
    world.view.observe(following(1))
    world.version, world.epoch = 1, 2
    with pytest.raises(TokenOfOtherSource):
        await world.ask(1, epoch=2, max_wait=0.1)
    asking = asyncio.create_task(world.ask(1, epoch=2))
    await asyncio.sleep(0.05)
    world.view.observe(following(2, as_of=2))
    assert await asking == (1, False)


@in_virtual_time
async def test_what_an_answer_says_of_itself_was_known_before_the_read() -> None:
    world = World()
    world.version = 1
    world.view.observe(following(1, as_of=10))

    async def newer(number: int) -> None:
        world.view.observe(following(1, as_of=20))

    world.on_read = newer

    async def read() -> ReadAttempt[int]:
        await newer(1)
        return ReadAttempt(1, 0, 1, 1)

    answer = await world.waiter.answer([ORDER], Consistency(), read)
    assert answer.info.as_of == 10


def test_freshness_never_goes_back() -> None:
    view = FreshnessView()
    assert (view.info().as_of, view.source_epoch) == (None, 0)
    for as_of, shown in ((5, 5), (3, 5), (7, 7)):
        view.observe(following(1, as_of))
        assert view.info().as_of == shown
    view.observe(None)
    assert view.info().as_of == 7


def check_too_late_is_refused() -> None:
    test_too_late_is_said_with_both_versions(1, False)


#: What goes wrong → the mutant, and the test that must notice it.
MUTANTS: dict[str, tuple[Mutant, Callable[[], None]]] = {
    "what was told since the read is forgotten": (
        Mutant(Wake.wait, "async with asyncio.timeout", "self._event.clear()\n        async with asyncio.timeout"),
        test_a_change_between_read_and_wait_is_not_missed,
    ),
    "a notice wakes nobody": (
        Mutant(NoticeBoard.announce, "wake.ring()", "pass"),
        test_a_notice_too_early_only_makes_it_read_again,
    ),
    "a notice wakes everybody": (
        Mutant(NoticeBoard.announce, "self._waiting.get(order_id, ())", "set().union(*self._waiting.values())"),
        test_a_notice_of_another_order_wakes_nobody,
    ),
    "readers rely on notices": (
        Mutant(VersionWaiter.answer, "min(left, recheck)", "left"),
        test_without_notices_it_reads_again_by_itself,
    ),
    "nobody waits": (
        Mutant(VersionWaiter.answer, "if left <= 0 or", "if True or"),
        test_a_notice_too_early_only_makes_it_read_again,
    ),
    "a parked version is waited for": (
        Mutant(VersionWaiter.answer, "left <= 0 or (seen is not None and seen.hopeless)", "left <= 0"),
        test_a_parked_version_ends_the_wait_for_those_who_take_stale,
    ),
    "what is old is answered unasked": (
        Mutant(VersionWaiter._late, "and wanted.stale_allowed", ""),
        check_too_late_is_refused,
    ),
    "what is old is not said to be": (
        Mutant(VersionWaiter._late, "stale=True", "stale=False"),
        test_stale_when_allowed,
    ),
    "a token of an earlier source is waited for": (
        Mutant(VersionWaiter._attempt, "if 0 < wanted.source_epoch < followed:", "if False:"),
        test_a_token_of_an_earlier_source_is_refused_without_a_read,
    ),
    "versions of a later source count": (
        Mutant(VersionWaiter._attempt, "seen.source_epoch if seen is not None else 0", "0"),
        test_an_order_of_a_later_source_refuses_the_token_too,
    ),
    "a source to come is not waited for": (
        Mutant(VersionWaiter._attempt, "if 0 < followed < wanted.source_epoch:", "if False:"),
        test_a_token_of_a_later_source_waits_for_it,
    ),
    "an answer is as fresh as what came after it": (
        Mutant(
            VersionWaiter.answer,
            "Answer(seen.found, _noting(info,",
            "Answer(seen.found, _noting(self._freshness.info(),",
        ),
        test_what_an_answer_says_of_itself_was_known_before_the_read,
    ),
    "freshness goes back": (
        Mutant(FreshnessView.observe, "freshness.as_of >= known.as_of", "True"),
        test_freshness_never_goes_back,
    ),
}


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_waiter_that_goes_wrong_is_noticed(mutant: str) -> None:
    at_work, check = MUTANTS[mutant]
    with noticed(at_work, or_raises=(Lagging, TokenOfOtherSource)):
        check()
