"""Watches orders on `grpc.aio` channels. A watch that breaks is resumed, on whichever replica answers.

A watch ends now and then: a service is restarted, a connection grows too old, the network fails. The helper then opens
another one with the last resume token. So its caller gets every change once, without noticing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from typing import NamedTuple, Protocol

import grpc
from tandem.orders.errors import DeadlineExceeded, OrderError, from_rpc_error
from tandem.orders.import_state import Outage
from tandem.orders.retry import RetryPolicy, Tries
from tandem.orders.v1.order_events_pb2 import OrderEvent
from tandem.orders.v1.order_query_service_pb2 import (
    SearchOrdersRequest,
    SearchOrdersResponse,
    WatchOrdersRequest,
    WatchOrdersResponse,
)
from tandem.orders.v1.order_types_pb2 import Order

#: `try_timeout` limits the wait for a sign of life. `give_up_after` counts from the first failure after a response.
WATCH_POLICY = RetryPolicy(give_up_after=600.0, try_timeout=30.0, longest_pause=5.0)
#: How many orders' latest states are remembered, so that a repeated change is dropped.
REMEMBERED = 100_000


class WatchedOrder(NamedTuple):
    """An order after a change, or as a list shows it.

    `event` is the change; None for an order of a list. `resume_token` resumes the watch after it; "" while a list is
    being read, because only a whole list can be continued.
    """

    order: Order
    event: OrderEvent | None
    resume_token: str


class WatchStream(Protocol):
    """One stream of responses."""

    def read(self) -> Awaitable[object]:
        """Waits for the next response. Returns `grpc.aio.EOF` at the stream's end."""
        ...

    def cancel(self) -> object:
        """Ends the stream."""
        ...


class AsyncWatchCall(Protocol):
    """`WatchOrders` of a stub on a `grpc.aio` channel."""

    def __call__(self, request: WatchOrdersRequest, /) -> WatchStream:
        """Opens one stream."""
        ...


class AsyncSearchCall(Protocol):
    """`SearchOrders` of a stub on a `grpc.aio` channel."""

    def __call__(
        self, request: SearchOrdersRequest, /, *, timeout: float | None = None
    ) -> Awaitable[SearchOrdersResponse]:
        """Reads one page."""
        ...


class OrderWatching(Protocol):
    """The methods of `OrderQueryServiceStub` that a watch needs."""

    @property
    def WatchOrders(self) -> AsyncWatchCall:  # noqa: N802 - the contract's name
        """Watches orders."""
        ...

    @property
    def SearchOrders(self) -> AsyncSearchCall:  # noqa: N802
        """Lists orders."""
        ...


class AsyncOrderWatch(AsyncIterator[WatchedOrder]):
    """`async for order, event, resume_token in watch_orders_async(queries, request)`: every change, once.

    Raises refusals that no retry can change as OrderError, above all ResumeTokenExpired: then read a list, and watch
    from its token. After `give_up_after` seconds without a response it raises the last failure.
    """

    def __init__(self, items: AsyncGenerator[WatchedOrder, None], place: _Place) -> None:
        self._items, self._place = items, place

    async def __anext__(self) -> WatchedOrder:
        return await anext(self._items)

    @property
    def resume_token(self) -> str:
        """Resumes the watch after what the caller got last. It also moves on while no change matches."""
        return self._place.token

    async def aclose(self) -> None:
        """Ends the watch."""
        await self._items.aclose()


def watch_orders_async(
    queries: OrderWatching, request: WatchOrdersRequest, policy: RetryPolicy = WATCH_POLICY
) -> AsyncOrderWatch:
    """Watches orders, from now on or after `request.resume_token`."""
    place = _Place(request.resume_token)
    return AsyncOrderWatch(_changes(queries, request, policy, place), place)


def list_then_watch_async(
    queries: OrderWatching, request: SearchOrdersRequest, policy: RetryPolicy = WATCH_POLICY
) -> AsyncOrderWatch:
    """Lists the orders that match now, all pages, and then watches the same filter: no change is missed or repeated."""
    place = _Place("")
    return AsyncOrderWatch(_list_and_changes(queries, request, policy, place), place)


class _Place:
    """Where a watch is: its token, and the latest state of each order that its caller knows."""

    def __init__(self, token: str) -> None:
        self.token = token
        self._known: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def is_new(self, order: Order) -> bool:
        """Records a state of an order. Returns False if the caller has it already, or a later one.

        The time decides before the version. An order's times never go back, and an order that a restored database
        continues gets its lost versions a second time, later.
        """
        state = (order.update_time.ToMicroseconds(), order.version)
        known = self._known.pop(order.order_id, (0, 0))
        self._known[order.order_id] = max(known, state)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return state > known


async def _list_and_changes(
    queries: OrderWatching, request: SearchOrdersRequest, policy: RetryPolicy, place: _Place
) -> AsyncGenerator[WatchedOrder, None]:
    asked = SearchOrdersRequest()
    asked.CopyFrom(request)
    token = ""
    while True:
        page = await _page(queries, asked, policy)
        if not asked.page_token:
            if not page.resume_token:  # the service does not know yet how fresh its lists are
                await asyncio.sleep(policy.first_pause)
                continue
            token = page.resume_token
        for order in page.orders:
            if place.is_new(order):
                yield WatchedOrder(order, None, "")
        if not page.next_page_token:
            break
        asked.page_token = page.next_page_token
    place.token = token
    watch = WatchOrdersRequest(filter=request.filter, resume_token=token)
    async with contextlib.aclosing(_changes(queries, watch, policy, place)) as changes:
        async for change in changes:
            yield change


async def _page(queries: OrderWatching, request: SearchOrdersRequest, policy: RetryPolicy) -> SearchOrdersResponse:
    """Reads a page, and retries while that may help. Raises the last failure as OrderError."""
    tries = Tries(policy)
    while True:
        try:
            return await queries.SearchOrders(request, timeout=tries.timeout())
        except grpc.aio.AioRpcError as error:
            pause = tries.pause_after(from_rpc_error(error), error)
        await asyncio.sleep(pause)


async def _changes(
    queries: OrderWatching, request: WatchOrdersRequest, policy: RetryPolicy, place: _Place
) -> AsyncGenerator[WatchedOrder, None]:
    asked = WatchOrdersRequest()
    asked.CopyFrom(request)
    outage = Outage(policy)
    while True:
        asked.resume_token = place.token
        failure: OrderError = OrderError(grpc.StatusCode.UNAVAILABLE, "the service ended the watch")
        cause: BaseException | None = None
        stream = queries.WatchOrders(asked)
        try:
            while (response := await _read(stream, policy)) is not None:
                outage.over()
                place.token, event = response.resume_token, response.event
                if response.HasField("event") and place.is_new(event.order):
                    yield WatchedOrder(event.order, event, response.resume_token)
        except grpc.aio.AioRpcError as error:
            failure, cause = from_rpc_error(error), error
        except TimeoutError:
            failure = DeadlineExceeded(grpc.StatusCode.DEADLINE_EXCEEDED, "the watch gave no sign of life")
        finally:
            stream.cancel()
        await asyncio.sleep(outage.pause_after(failure, cause))


async def _read(stream: WatchStream, policy: RetryPolicy) -> WatchOrdersResponse | None:
    """Returns the next response; None at the stream's end. Raises TimeoutError without a sign of life."""
    async with asyncio.timeout(policy.try_timeout):
        response = await stream.read()
    return response if isinstance(response, WatchOrdersResponse) else None
