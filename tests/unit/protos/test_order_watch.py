"""The client's watch over streams that break: what it resumes, what it raises, and what it drops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from tandem.orders import order_watch_async
from tandem.orders.errors import DeadlineExceeded, OrderError, ResumeTokenExpired, error_status
from tandem.orders.order_watch_async import list_then_watch_async, watch_orders_async
from tandem.orders.retry import RetryPolicy
from tandem.orders.v1 import error_reason_pb2 as reasons
from tandem.orders.v1.order_events_pb2 import OrderEvent
from tandem.orders.v1.order_query_service_pb2 import (
    SearchOrdersRequest,
    SearchOrdersResponse,
    WatchOrdersRequest,
    WatchOrdersResponse,
)
from tandem.orders.v1.order_types_pb2 import Order

from tests.support.source_mutants import Mutant, noticed
from tests.support.virtual_time import in_virtual_time

SILENCE = "silence"
End = grpc.aio.AioRpcError | str | None


def broken(code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE, reason: Any = None) -> grpc.aio.AioRpcError:
    """A stream's end by an error of the service, or without a reason one of the network."""
    if reason is None:
        return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details="broken")
    status = error_status(code, reason, "refused").SerializeToString()
    return grpc.aio.AioRpcError(
        code, grpc.aio.Metadata(), grpc.aio.Metadata(("grpc-status-details-bin", status)), details="refused"
    )


def change(order_id: str, version: int, token: str, second: int = 0) -> WatchOrdersResponse:
    order = Order(order_id=order_id, version=version, update_time=Timestamp(seconds=second))
    event = OrderEvent(order_id=order_id, order_version=version, order=order)
    return WatchOrdersResponse(event=event, resume_token=token)


def sign(token: str) -> WatchOrdersResponse:
    return WatchOrdersResponse(resume_token=token)


class Stream:
    """One stream: its responses, and then how it ends. None: without an error."""

    def __init__(self, responses: list[WatchOrdersResponse], end: End) -> None:
        self._responses, self._end = responses, end
        self.cancelled = False

    async def read(self) -> object:
        if self._responses:
            return self._responses.pop(0)
        if isinstance(self._end, grpc.aio.AioRpcError):
            raise self._end
        if self._end == SILENCE:
            await asyncio.sleep(10**6)
        return grpc.aio.EOF

    def cancel(self) -> None:
        self.cancelled = True


class Queries:
    """A stub that gives these streams and pages, one after the other."""

    def __init__(self, *streams: Stream, pages: tuple[SearchOrdersResponse, ...] = ()) -> None:
        self.streams, self._pages = list(streams), list(pages)
        self.given: list[Stream] = []
        self.tokens: list[str] = []

    def WatchOrders(self, request: WatchOrdersRequest) -> Stream:  # noqa: N802 - the contract's name
        self.tokens.append(request.resume_token)
        self.given.append(self.streams.pop(0))
        return self.given[-1]

    def SearchOrders(  # noqa: N802
        self, request: SearchOrdersRequest, *, timeout: float | None = None
    ) -> Awaitable[SearchOrdersResponse]:
        async def answer() -> SearchOrdersResponse:
            return self._pages.pop(0)

        return answer()


async def taken(watch: Any, count: int) -> list[tuple[str, int]]:
    return [((item := await anext(watch)).order.order_id, item.order.version) for _ in range(count)]


@in_virtual_time
async def test_it_resumes_after_the_last_response_however_a_stream_ends() -> None:
    queries = Queries(
        Stream([sign("a"), change("1", 1, "b")], broken()),
        Stream([sign("b"), sign("c")], None),
        Stream([], broken(grpc.StatusCode.RESOURCE_EXHAUSTED, reasons.ERROR_REASON_OVERLOADED)),
        Stream([sign("c")], SILENCE),
        Stream([], broken(grpc.StatusCode.INTERNAL)),
        Stream([change("1", 2, "d")], SILENCE),
    )
    watch = watch_orders_async(queries, WatchOrdersRequest(resume_token="z"))
    assert await taken(watch, 2) == [("1", 1), ("1", 2)]
    assert queries.tokens == ["z", "b", "c", "c", "c", "c"]
    assert watch.resume_token == "d"
    await watch.aclose()
    assert all(stream.cancelled for stream in queries.given)


@in_virtual_time
async def test_what_no_retry_can_change_is_raised() -> None:
    expired = broken(grpc.StatusCode.OUT_OF_RANGE, reasons.ERROR_REASON_RESUME_TOKEN_EXPIRED)
    watch = watch_orders_async(Queries(Stream([sign("a")], expired)), WatchOrdersRequest())
    with pytest.raises(ResumeTokenExpired):
        await anext(watch)


@in_virtual_time
async def test_an_outage_that_is_too_long_is_raised() -> None:
    policy = RetryPolicy(give_up_after=0.0)
    with pytest.raises(DeadlineExceeded):
        await anext(watch_orders_async(Queries(Stream([sign("a")], SILENCE)), WatchOrdersRequest(), policy))


def pages() -> tuple[SearchOrdersResponse, ...]:
    return (
        SearchOrdersResponse(),  # not known yet how fresh lists are
        SearchOrdersResponse(orders=[Order(order_id="1", version=3)], next_page_token="p", resume_token="first"),
        SearchOrdersResponse(orders=[Order(order_id="2", version=1)]),
    )


@in_virtual_time
async def test_a_list_is_continued_from_its_first_page_and_nothing_is_repeated() -> None:
    changes = [change("1", 2, "a"), change("1", 3, "b"), change("2", 2, "c"), change("1", 4, "d")]
    queries = Queries(Stream(changes, SILENCE), pages=pages())
    watch = list_then_watch_async(queries, SearchOrdersRequest())
    assert await taken(watch, 4) == [("1", 3), ("2", 1), ("2", 2), ("1", 4)]
    assert queries.tokens == ["first"]


async def tokens_up_to(last: str, watch: Any) -> list[str]:
    got = [""]
    while got[-1] != last:
        got.append((await anext(watch)).resume_token)
    return got[1:]


@in_virtual_time
async def test_what_a_restored_order_gets_instead_of_its_lost_versions_is_no_repetition() -> None:
    lost = [("1", 6, "a", 10), ("1", 7, "b", 11)]
    after = [*lost, ("1", 6, "c", 20), ("1", 7, "d", 20), ("2", 1, "e", 21)]
    broken_off, whole = (Stream([change(*one) for one in changes], None) for changes in (lost, after))
    watch = watch_orders_async(Queries(broken_off, whole), WatchOrdersRequest())
    assert await tokens_up_to("e", watch) == ["a", "b", "c", "d", "e"]
    listed = Order(order_id="1", version=7, update_time=Timestamp(seconds=11))
    queries = Queries(
        Stream([change(*one) for one in after], None),
        pages=(SearchOrdersResponse(orders=[listed], resume_token="first"),),
    )
    watch = list_then_watch_async(queries, SearchOrdersRequest())
    assert await tokens_up_to("e", watch) == ["", "c", "d", "e"]


@pytest.mark.mutant
@pytest.mark.parametrize(
    ("function", "old", "new", "test"),
    [
        (
            order_watch_async._changes,
            "asked.resume_token = place.token",
            "pass",
            test_it_resumes_after_the_last_response_however_a_stream_ends,
        ),
        (
            order_watch_async._Place.is_new,
            "return state > known",
            "return True",
            test_a_list_is_continued_from_its_first_page_and_nothing_is_repeated,
        ),
        (
            order_watch_async._Place.is_new,
            "order.update_time.ToMicroseconds()",
            "0",
            test_what_a_restored_order_gets_instead_of_its_lost_versions_is_no_repetition,
        ),
    ],
)
def test_a_watch_that_goes_wrong_is_noticed(
    function: Callable[..., Any], old: str, new: str, test: Callable[[], None]
) -> None:
    with noticed(Mutant(function, old, new), or_raises=(OrderError, RuntimeError)):
        test()
