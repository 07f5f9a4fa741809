"""A page as it is sent: the message that its parts make, cut where it would grow too large, and going on from there."""

import uuid
from functools import partial

import pytest
from tandem.orders.v1 import order_query_service_pb2 as contract
from tandem.orders.v1 import order_types_pb2 as types

from query_service.handlers.grpc import order_lists
from query_service.handlers.grpc.answering import that_fit
from query_service.handlers.grpc.order_lists import OrderLists
from query_service.projection.project import project
from query_service.projection.stream_event import read_event
from query_service.storage.memory import MemoryStore
from service_runtime.edge.service_methods import Call
from tests.support.queries.listed_orders import searching
from tests.support.queries.order_events import an_order, published

ORDERS = {order.order_id: order for order in (an_order(str(uuid.UUID(int=number))) for number in range(1, 8))}
REQUEST = contract.SearchOrdersRequest(page_size=5, facets=[contract.ORDER_DIMENSION_STATE])

CALL = Call(context=None, seconds=10.0)  # type: ignore[arg-type]  # a search does not look at the context


async def _lists() -> OrderLists:
    store = MemoryStore()
    events = map(published, ORDERS.values())
    await store.apply([project(read_event(event.headers, event.body)) for event in events])
    of_no_use = None
    return OrderLists(searching(store), of_no_use, of_no_use, of_no_use, lambda: 0)  # type: ignore[arg-type]


async def _page(lists: OrderLists, page_token: str = "") -> contract.SearchOrdersResponse:
    request = contract.SearchOrdersRequest(page_size=5, facets=REQUEST.facets, page_token=page_token)
    return contract.SearchOrdersResponse.FromString(await lists.search_orders(request, CALL))


async def test_its_parts_are_the_message() -> None:
    page = await _page(await _lists())
    count = contract.FacetCount(key="PLACED", orders=7)
    assert len(page.orders) == 5
    assert all(order == ORDERS[order.order_id] for order in page.orders)
    assert (page.total_size, list(page.facets)) == (
        7,
        [contract.Facet(dimension=contract.ORDER_DIMENSION_STATE, counts=[count])],
    )
    assert page.next_page_token
    assert page.HasField("read_info")


@pytest.mark.parametrize("room", [0, 2])
async def test_a_page_too_large_to_send_is_cut_and_goes_on_behind_the_cut(
    monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    size = max(order.ByteSize() for order in ORDERS.values()) + 12
    monkeypatch.setattr(order_lists, "that_fit", partial(that_fit, most=room * size))
    lists, given, token = await _lists(), list[types.Order](), ""
    while True:
        page = await _page(lists, token)
        assert len(page.orders) <= max(room, 1)
        given += page.orders
        token = page.next_page_token
        if not token:
            break
    assert sorted(order.order_id for order in given) == sorted(ORDERS)


async def test_a_page_of_the_basic_view_has_no_lines() -> None:
    lists = await _lists()
    whole = await _page(lists)
    request = contract.SearchOrdersRequest(page_size=5, facets=REQUEST.facets, view=contract.ORDER_VIEW_BASIC)
    basic = contract.SearchOrdersResponse.FromString(await lists.search_orders(request, CALL))
    assert [order.order_id for order in basic.orders] == [order.order_id for order in whole.orders]
    assert [order.total for order in basic.orders] == [order.total for order in whole.orders]
    assert not any(order.lines or order.customer.email for order in basic.orders)
    # The view may change from page to page.
    following = await _page(lists, basic.next_page_token)
    assert len(following.orders) == 2
    assert all(order.lines for order in following.orders)
