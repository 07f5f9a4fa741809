"""Histories and batches: nothing is passed over in silence."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from tandem.orders.v1.order_types_pb2 import Order

from query_service.application.freshness.await_versions import Consistency, VersionWaiter
from query_service.application.freshness.notice_board import NoticeBoard
from query_service.application.freshness.view import FreshnessView
from query_service.application.ports.errors import Lagging, OrderUnknown, PageTokenMalformed, Parked
from query_service.application.questions.batch_get_orders import BatchGetOrders
from query_service.application.questions.order_history import GetOrderHistory, HistoryPage
from query_service.application.questions.page_token import history_fingerprint, write_page_token
from query_service.projection.project import ProjectedEvent, project
from query_service.projection.stream_event import read_event
from query_service.storage.memory import MemoryStore
from tests.support.queries.order_events import an_order, published
from tests.support.virtual_time import in_virtual_time
from tests.unit.query_service.test_list_gate import parked

ORDER = str(uuid.uuid4())
NOW = Consistency(max_wait=0.02)


class World:
    """Use cases over a store of the test's own."""

    def __init__(self) -> None:
        self.store, self.board = MemoryStore(), NoticeBoard()
        waiter = VersionWaiter(self.board, FreshnessView(), asyncio.get_running_loop().time, self, recheck=60)
        self.history, self.batch = GetOrderHistory(self.store, waiter), BatchGetOrders(self.store, waiter)

    def waited(self, outcome: str, seconds: float) -> None:
        """Nobody counts."""

    async def apply(self, *versions: int, order_id: str = ORDER) -> None:
        await self.store.apply([event(order_id, version) for version in versions])
        self.board.announce([order_id])

    async def pages(self, size: int) -> list[list[tuple[int | None, int]]]:
        """On each page, version before and after of each step."""
        pages: list[list[tuple[int | None, int]]] = []
        token = ""
        while True:
            page = (await self.history(ORDER, size, NOW, page_token=token)).found
            pages.append(steps(page))
            token = page.token_after(len(page.steps))
            if not token:
                return pages


def event(order_id: str, version: int) -> ProjectedEvent:
    message = published(an_order(order_id, version))
    return project(read_event(message.headers, message.body))


def steps(page: HistoryPage) -> list[tuple[int | None, int]]:
    return [(None if step.before is None else step.before["version"], step.after["version"]) for step in page.steps]


@pytest.mark.parametrize(
    ("size", "pages"),
    [
        (5, [[(None, 1), (1, 2), (2, 3), (3, 4), (4, 5)]]),
        (2, [[(None, 1), (1, 2)], [(2, 3), (3, 4)], [(4, 5)]]),
        (1, [[(None, 1)], [(1, 2)], [(2, 3)], [(3, 4)], [(4, 5)]]),
    ],
)
@in_virtual_time
async def test_every_step_is_on_one_page_with_the_one_before(
    size: int, pages: list[list[tuple[int | None, int]]]
) -> None:
    world = World()
    await world.apply(1, 2, 3, 4, 5)
    assert await world.pages(size) == pages


@in_virtual_time
async def test_a_page_that_is_cut_goes_on_where_it_was_cut() -> None:
    world = World()
    await world.apply(1, 2, 3, 4)
    page = (await world.history(ORDER, 4, NOW)).found
    rest = (await world.history(ORDER, 4, NOW, page_token=page.token_after(1))).found
    assert steps(rest) == [(1, 2), (2, 3), (3, 4)]
    assert rest.token_after(3) == ""


@in_virtual_time
async def test_a_version_that_is_not_in_yet_is_waited_for() -> None:
    world = World()
    await world.apply(1, 3)
    with pytest.raises(Lagging) as refusal:
        await world.history(ORDER, 10, NOW)
    assert (refusal.value.needed_version, refusal.value.current_version) == (2, 3)
    stale = await world.history(ORDER, 10, Consistency(max_wait=0.02, stale_allowed=True))
    assert (steps(stale.found), stale.info.stale) == ([(None, 1), (1, 3)], True)
    asking = asyncio.create_task(world.history(ORDER, 10, Consistency(max_wait=5)))
    await asyncio.sleep(0.01)
    await world.apply(2)
    assert steps((await asking).found) == [(None, 1), (1, 2), (2, 3)]


@in_virtual_time
async def test_a_parked_version_is_missing_and_told() -> None:
    world = World()
    await world.apply(1, 4)
    await world.store.park(parked(ORDER, 2))
    await world.store.park(parked(ORDER, 3))
    answer = await world.history(ORDER, 10, NOW)
    assert (steps(answer.found), answer.info.parked) == ([(None, 1), (1, 4)], True)
    # A page may hold nothing but parked versions, and is not the last one for that.
    assert await world.pages(1) == [[(None, 1)], [], [], [(1, 4)]]


@in_virtual_time
async def test_a_token_is_honoured() -> None:
    world = World()
    await world.apply(1)
    with pytest.raises(Lagging):
        await world.history(ORDER, 10, Consistency(1, {ORDER: 2}, 0.02))
    asking = asyncio.create_task(world.history(ORDER, 10, Consistency(1, {ORDER: 2}, 5)))
    await asyncio.sleep(0.01)
    await world.apply(2)
    assert steps((await asking).found) == [(None, 1), (1, 2)]


@in_virtual_time
async def test_who_is_unknown() -> None:
    world = World()
    with pytest.raises(OrderUnknown):
        await world.history(ORDER, 10, NOW)
    await world.store.park(parked(ORDER, 1))
    with pytest.raises(Parked):
        await world.history(ORDER, 10, NOW)


@pytest.mark.parametrize("place", [{"v": 0}, {"v": -1}, {"v": 2**50}, {"v": "2"}, {"w": 2}])
@in_virtual_time
async def test_a_place_that_no_history_has_is_refused(place: dict[str, int | str]) -> None:
    world = World()
    await world.apply(1)
    with pytest.raises(PageTokenMalformed):
        await world.history(ORDER, 10, NOW, page_token=write_page_token(history_fingerprint(ORDER), place))


# -- batches -----------------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_batch_comes_in_the_order_asked_with_what_is_missing() -> None:
    world = World()
    one, two, unknown = (str(uuid.uuid4()) for _ in range(3))
    await world.apply(1, order_id=one)
    await world.apply(1, 2, order_id=two)
    found = (await world.batch([two, unknown, one, two], NOW)).found
    orders = map(Order.FromString, found.orders)
    assert [(order.order_id, order.version) for order in orders] == [(two, 2), (one, 1), (two, 2)]
    assert found.missing == [unknown]


@in_virtual_time
async def test_a_batch_waits_for_its_own_orders_only() -> None:
    world = World()
    one, other = str(uuid.uuid4()), str(uuid.uuid4())
    await world.apply(1, order_id=one)
    assert len((await world.batch([one], Consistency(1, {one: 1, other: 5}, 0.02))).found.orders) == 1
    for stale_allowed in (False, True):
        with pytest.raises(Lagging) as refusal:  # an order of the token is never missing
            await world.batch([one, other], Consistency(1, {other: 1}, 0.02, stale_allowed))
        assert refusal.value.order_id == other
    stale = await world.batch([one], Consistency(1, {one: 2}, 0.02, stale_allowed=True))
    assert (Order.FromString(stale.found.orders[0]).version, stale.info.stale) == (1, True)


@in_virtual_time
async def test_an_order_of_which_all_is_parked_is_not_missing() -> None:
    world = World()
    one, broken = str(uuid.uuid4()), str(uuid.uuid4())
    await world.apply(1, order_id=one)
    await world.store.park(parked(broken, 1))
    with pytest.raises(Parked):
        await world.batch([one, broken], NOW)
    answer = await world.batch([one, broken], Consistency(max_wait=0.02, stale_allowed=True))
    assert (answer.found.missing, answer.info.parked) == ([broken], True)
