"""Before every list: the token is met at searchable, and the list does not claim to be fresher than it is."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping

import pytest
from tandem.orders.v1.order_types_pb2 import Order

from query_service.application.freshness.await_versions import Consistency, VersionWaiter
from query_service.application.freshness.list_gate import ListGate
from query_service.application.freshness.notice_board import NoticeBoard
from query_service.application.freshness.parked_orders import ParkedOrders
from query_service.application.freshness.view import FreshnessView
from query_service.application.ports.errors import CustomerUnknown, Lagging, Parked, TokenOfOtherSource
from query_service.application.ports.order_questions import Edition, OrderCriteria, OrderSort, OrderSummaries
from query_service.application.ports.read_store import Freshness, ParkedEvent
from query_service.application.questions.customer_summary import GetCustomerSummary
from query_service.application.questions.search_orders import SearchOrders
from query_service.application.questions.summarize_orders import SummarizeOrders
from query_service.application.watching.list_marks import ListMarks
from query_service.projection.errors import Unprojectable
from query_service.projection.project import ProjectedEvent, project
from query_service.projection.stream_event import read_event
from query_service.storage.memory import MemoryStore
from tests.support.queries.order_events import an_order, published
from tests.support.source_mutants import Mutant, noticed
from tests.support.virtual_time import in_virtual_time

SECOND = 1_000_000


class Refreshes:
    """Counts what is asked of it; everything is searchable once it was waited for, unless nobody answers."""

    def __init__(self, applied: FreshnessView) -> None:
        self._applied = applied
        self.asked = self.waited = 0
        self.listed = FreshnessView()
        self.answering = True
        self.unlisted: dict[str, int] = {}
        self.settled: list[bool] = []

    def ask(self) -> None:
        self.asked += 1

    async def catch_up(self) -> bool:
        self.waited += 1
        if self.answering:
            self.listed.observe(self._applied.latest)
        return self.answering

    async def missing(
        self, applied: Mapping[str, Edition], within: float, *, settled: bool = False
    ) -> Mapping[str, int]:
        self.settled.append(settled)
        await self.catch_up()
        return {order_id: self.unlisted[order_id] for order_id in applied if order_id in self.unlisted}


class World:
    """Use cases over a store of the test's own."""

    def __init__(self) -> None:
        self.store, self.board, self.view, self.parked = MemoryStore(), NoticeBoard(), FreshnessView(), ParkedOrders()
        self.refreshes = Refreshes(self.view)
        waiter = VersionWaiter(self.board, self.view, asyncio.get_running_loop().time, self, recheck=60)
        self.now = 0
        clock = asyncio.get_running_loop().time
        listed = self.refreshes.listed
        self.gate = ListGate(self.store, waiter, self.view, listed, lambda _: self.refreshes, clock, lambda: self.now)
        self.search = SearchOrders(self.store, self.gate, self.parked, ListMarks())
        self.summarize = SummarizeOrders(self.store, self.gate)
        self.customer = GetCustomerSummary(self.store, self.gate, self.parked)

    def waited(self, outcome: str, seconds: float) -> None:
        """Nobody counts."""

    async def apply(self, *events: ProjectedEvent) -> None:
        await self.store.apply(events)
        self.board.announce([event.order_id for event in events])

    def knows(self, as_of: int, epoch: int = 1) -> None:
        self.view.observe(Freshness(as_of, epoch, "g1", 1, 1))

    async def found(self, wanted: Consistency) -> tuple[int, bool, bool]:
        """How many orders a list shows, and whether it is stale and parked."""
        page = await self.search(OrderCriteria(), OrderSort.PLACE_TIME_DESC, 10, wanted)
        return page.found.total, page.info.stale, page.info.parked


def event(order_id: str, version: int = 1, epoch: int = 1) -> ProjectedEvent:
    message = published(an_order(order_id, version), source_epoch=epoch)
    return project(read_event(message.headers, message.body))


def ids(count: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(count)]


def parked(order_id: str, version: int) -> ParkedEvent:
    return ParkedEvent(order_id, version, "e", "ORDER_PAID", "S", 1, 1, 1, Unprojectable.UNMAPPABLE, "x")


@in_virtual_time
async def test_a_list_waits_for_every_order_of_its_token() -> None:
    world, (one, two) = World(), ids(2)
    asking = asyncio.create_task(world.found(Consistency(1, {one: 1, two: 2}, max_wait=60)))
    for applied in (event(one), event(two)):
        await world.apply(applied)
        await asyncio.sleep(0.01)
        assert not asking.done()
        assert world.refreshes.waited == 0
    await world.apply(event(two, 2))
    assert await asking == (2, False, False)
    assert world.refreshes.waited == 1


@in_virtual_time
async def test_the_order_that_lacks_is_named() -> None:
    world, (one, two) = World(), ids(2)
    await world.apply(event(one), event(two))
    with pytest.raises(Lagging) as refusal:
        await world.found(Consistency(1, {one: 1, two: 3}, max_wait=0.05))
    assert (refusal.value.order_id, refusal.value.needed_version, refusal.value.current_version) == (two, 3, 1)


@in_virtual_time
async def test_a_stale_list_says_so() -> None:
    world, (one, two) = World(), ids(2)
    await world.apply(event(one))
    wanted = Consistency(1, {one: 1, two: 1}, max_wait=0.05, stale_allowed=True)
    assert await world.found(wanted) == (1, True, False)


@in_virtual_time
async def test_a_parked_version_is_told_at_once() -> None:
    world, [one] = World(), ids(1)
    await world.apply(event(one))
    await world.store.park(parked(one, 2))
    async with asyncio.timeout(1):
        with pytest.raises(Parked):
            await world.found(Consistency(1, {one: 2}, max_wait=5))
        assert await world.found(Consistency(1, {one: 2}, max_wait=5, stale_allowed=True)) == (1, True, True)


@in_virtual_time
async def test_a_list_says_that_an_order_on_it_is_parked() -> None:
    world, (one, two) = World(), ids(2)
    await world.apply(event(one), event(two))
    assert await world.found(Consistency()) == (2, False, False)
    world.parked.add(one, 2)
    assert await world.found(Consistency()) == (2, False, True)
    await world.apply(event(one, 3))  # healed, before anybody told
    assert await world.found(Consistency()) == (2, False, False)
    world.parked.replace({two: (7,)})
    assert await world.found(Consistency()) == (2, False, True)


@in_virtual_time
async def test_a_token_of_another_source_is_refused() -> None:
    world, [one] = World(), ids(1)
    await world.apply(event(one, epoch=2))
    for wanted in (Consistency(1, {one: 1}), Consistency(1, {})):
        world.knows(1, epoch=2)
        with pytest.raises(TokenOfOtherSource):
            await world.found(wanted)


@in_virtual_time
async def test_an_empty_token_waits_for_nothing() -> None:
    world = World()
    assert await world.found(Consistency(1, {})) == (0, False, False)
    assert world.refreshes.waited == 0


@in_virtual_time
async def test_every_question_over_many_orders_honours_the_token() -> None:
    world, [one] = World(), ids(1)
    wanted = Consistency(1, {one: 1}, max_wait=0.02)
    with pytest.raises(Lagging):
        await world.found(wanted)
    with pytest.raises(Lagging):
        await world.summarize(OrderSummaries(OrderCriteria(), ()), wanted)
    with pytest.raises(Lagging):
        await world.customer("KOENE", wanted)


@in_virtual_time
async def test_a_list_without_token_asks_for_no_refresh_while_it_is_fresh() -> None:
    world = World()
    await world.found(Consistency())
    assert (world.refreshes.asked, world.refreshes.waited) == (0, 0)


@in_virtual_time
async def test_a_list_never_claims_to_be_fresher_than_the_last_refresh() -> None:
    world = World()

    async def claimed() -> int | None:
        return (await world.gate.admit(Consistency())).info("").as_of

    world.knows(10 * SECOND)
    assert await claimed() == 10 * SECOND  # nothing was known before: it waited
    world.knows(10 * SECOND + 999_999)
    assert await claimed() == 10 * SECOND
    assert (world.refreshes.asked, world.refreshes.waited) == (0, 1)
    world.knows(12 * SECOND)
    assert await claimed() == 10 * SECOND  # asked for, not waited for
    assert (world.refreshes.asked, world.refreshes.waited) == (1, 1)
    world.knows(15 * SECOND)
    assert await claimed() == 15 * SECOND  # too far behind not to wait
    assert (world.refreshes.asked, world.refreshes.waited) == (1, 2)


@in_virtual_time
async def test_a_mark_is_searchable_and_the_same_mark_is_not_refreshed_twice() -> None:
    world, [one] = World(), ids(1)
    await world.apply(event(one))
    first = await world.gate.mark()
    assert (await world.gate.mark(), world.refreshes.waited) == (first, 1)
    await world.apply(event(one, 2))
    assert await world.gate.mark() != first
    assert world.refreshes.waited == 2


@in_virtual_time
async def test_cancelled_orders_are_counted_only_when_asked_for() -> None:
    world = World()
    for number, state in enumerate(("PLACED", "CANCELLED", "REFUNDED")):
        message = published(
            an_order(str(uuid.UUID(int=number + 1))), payload_changes={"order.state": f"ORDER_STATE_{state}"}
        )
        await world.apply(project(read_event(message.headers, message.body)))

    async def counted(*states: str, include: bool = False) -> int:
        asked = OrderSummaries(OrderCriteria(states=states), ())
        found = await world.summarize(asked, Consistency(), include_cancelled=include)
        return sum(total.orders for total in found.found.totals)

    assert [await counted(), await counted(include=True)] == [1, 3]
    assert [await counted("CANCELLED"), await counted("PLACED", "REFUNDED"), await counted("PLACED")] == [1, 2, 1]


@in_virtual_time
async def test_a_customer_is_unknown_only_when_the_answer_lacks_nothing() -> None:
    world, [one] = World(), ids(1)
    with pytest.raises(CustomerUnknown):
        await world.customer("KOENE", Consistency())
    with pytest.raises(Lagging):
        await world.customer("KOENE", Consistency(1, {one: 1}, max_wait=0.02, stale_allowed=True))
    await world.apply(event(one))
    summary = await world.customer("KOENE", Consistency(1, {one: 1}))
    assert [Order.FromString(order).customer.display_name for order in summary.found.recent] == ["Königlich Essen"]
    assert summary.found.figures.orders == 1


@in_virtual_time
async def test_what_is_applied_and_not_searchable_counts_as_behind() -> None:
    world, (one, two) = World(), ids(2)
    await world.apply(event(one, 3), event(two))
    world.refreshes.unlisted = {one: 2}
    with pytest.raises(Lagging) as refusal:
        await world.found(Consistency(1, {one: 3, two: 1}))
    assert (refusal.value.order_id, refusal.value.needed_version, refusal.value.current_version) == (one, 3, 2)
    assert await world.found(Consistency(1, {one: 3}, stale_allowed=True)) == (2, True, False)
    with pytest.raises(Lagging):  # it may be this customer's, and be missing for that
        await world.customer("NOBODY", Consistency(1, {one: 3}, stale_allowed=True))


@in_virtual_time
async def test_old_writes_are_looked_for_before_a_refresh_is_asked_for() -> None:
    world, [one] = World(), ids(1)
    await world.apply(event(one))
    [stored] = await world.store.orders([one])
    assert stored.document is not None
    for later in (2_999_999, 3_000_000):
        world.now = stored.document["recorded_at"] + later
        await world.found(Consistency(1, {one: 1}))
    assert world.refreshes.settled == [False, True]


@in_virtual_time
async def test_lists_go_on_without_anybody_who_refreshes() -> None:
    world, [one] = World(), ids(1)
    await world.apply(event(one))
    first = await world.gate.mark()
    world.knows(10 * SECOND)
    await world.found(Consistency())
    world.refreshes.answering = False
    await world.apply(event(one, 2))
    assert await world.gate.mark() == first  # what changed since the last refresh counts as changed
    waited = world.refreshes.waited
    world.knows(100 * SECOND)
    page = await world.search(OrderCriteria(), OrderSort.PLACE_TIME_DESC, 10, Consistency())
    assert (page.info.as_of, world.refreshes.waited) == (10 * SECOND, waited)


@in_virtual_time
async def test_a_mark_that_was_never_reached_is_before_everything() -> None:
    world, [one] = World(), ids(1)
    world.refreshes.answering = False
    await world.apply(event(one))
    mark = await world.gate.mark()
    assert mark == world.store.first_mark(mark)


#: What goes wrong → the mutant, and the test that must notice it.
MUTANTS: dict[str, tuple[Mutant, Callable[[], None]]] = {
    "tokens are ignored": (
        Mutant(ListGate.admit, "if wanted.source_epoch:", "if False:"),
        test_every_question_over_many_orders_honours_the_token,
    ),
    "what is applied counts as listed": (
        Mutant(ListGate.admit, "if unlisted is not None and", "if False and"),
        test_what_is_applied_and_not_searchable_counts_as_behind,
    ),
    "what is not listed is not said": (
        Mutant(ListGate.admit, "stale or unlisted is not None", "stale"),
        test_what_is_applied_and_not_searchable_counts_as_behind,
    ),
    "lists are as fresh as look-ups": (
        Mutant(ListGate.admit, "self._listed.claims()", "self._applied.claims()"),
        test_a_list_never_claims_to_be_fresher_than_the_last_refresh,
    ),
    "every mark is refreshed": (
        Mutant(ListGate.mark, "if mark != self._searchable_mark:", "if True:"),
        test_a_mark_is_searchable_and_the_same_mark_is_not_refreshed_twice,
    ),
    "no mark is refreshed": (
        Mutant(ListGate.mark, "if mark != self._searchable_mark:", "if False:"),
        test_a_mark_is_searchable_and_the_same_mark_is_not_refreshed_twice,
    ),
    "a mark counts without a refresh": (
        Mutant(ListGate.mark, "self._searchable_mark or self._reader.first_mark(mark)", "mark"),
        test_a_mark_that_was_never_reached_is_before_everything,
    ),
    "lists wait for those who do not answer": (
        Mutant(ListGate._refresh_if_lagging, "if must_wait and searchable.answering:", "if must_wait:"),
        test_lists_go_on_without_anybody_who_refreshes,
    ),
    "lists never wait": (
        Mutant(ListGate._refresh_if_lagging, "if must_wait and searchable.answering:", "if False:"),
        test_a_list_never_claims_to_be_fresher_than_the_last_refresh,
    ),
    "young writes count as old": (
        Mutant(ListGate._unlisted, ">= SETTLED", ">= SETTLED - 1"),
        test_old_writes_are_looked_for_before_a_refresh_is_asked_for,
    ),
}


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_gate_that_goes_wrong_is_noticed(mutant: str) -> None:
    at_work, check = MUTANTS[mutant]
    with noticed(at_work, or_raises=(Lagging,)):
        check()
