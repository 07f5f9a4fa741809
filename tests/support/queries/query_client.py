"""Calls a read side that runs as real processes, fed by a stream."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import grpc
import pytest_asyncio
from tandem.orders.client import channel_options
from tandem.orders.consistency_token import ConsistencyToken, encode
from tandem.orders.errors import from_rpc_error
from tandem.orders.v1 import order_query_service_pb2 as contract
from tandem.orders.v1 import order_query_service_pb2_grpc as stubs

from tests.support.queries.asking import once_caught_up
from tests.support.queries.order_events import PublishedEvent, an_order, money, published
from tests.support.queries.read_side import ReadSide, eventually

Found = TypeVar("Found")
SEARCH, SUMMARIZE = contract.SearchOrdersRequest, contract.SummarizeOrdersRequest


class Client:
    """A caller of the query service."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.stub: stubs.OrderQueryServiceAsyncStub = stubs.OrderQueryServiceStub(channel)

    async def ask(self, method: Callable[..., Awaitable[Found]], request: object, **how: object) -> Found:
        """Returns the answer once the read side no longer lags; raises refusals as the client library's exceptions."""
        try:
            return await once_caught_up(method, request, **how)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None

    async def search(self, **fields: object) -> contract.SearchOrdersResponse:
        request = SEARCH(**fields)  # type: ignore[arg-type]
        return await self.ask(self.stub.SearchOrders, request)

    async def summarize(self, **fields: object) -> contract.SummarizeOrdersResponse:
        request = SUMMARIZE(**fields)  # type: ignore[arg-type]
        return await self.ask(self.stub.SummarizeOrders, request)

    async def all_pages(
        self, request: contract.SearchOrdersRequest, between: Callable[[], Awaitable[None]]
    ) -> list[str]:
        """Returns the ids on all pages; runs `between` between two pages."""
        seen: list[str] = []
        while True:
            page = await self.ask(self.stub.SearchOrders, request)
            seen += [order.order_id for order in page.orders]
            if not page.next_page_token:
                return seen
            request.page_token = page.next_page_token
            await between()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client(shared_read_side: ReadSide, unused_tcp_port_factory: Callable[[], int]) -> AsyncIterator[Client]:
    """Yields a caller of a running read side."""
    address = f"127.0.0.1:{unused_tcp_port_factory()}"
    async with (
        shared_read_side.process("project"),
        shared_read_side.process("serve", listen=address),
        grpc.aio.insecure_channel(address, options=channel_options()) as channel,
    ):
        client = Client(channel)

        async def answers() -> bool:
            try:
                await client.stub.SearchOrders(SEARCH(), timeout=30, wait_for_ready=True)
            except grpc.aio.AioRpcError:
                return False
            return True

        await eventually(answers, "the read side answers")
        yield client


def token_of(*events: PublishedEvent) -> contract.ReadOptions:
    """Returns the read options of a caller that has just received the responses of these events' commands."""
    versions = {event.order_id: event.version for event in events}
    options = contract.ReadOptions(consistency_token=encode(ConsistencyToken(1, versions)))
    options.max_wait.FromSeconds(5)
    return options


def an_event(
    customer: str, *, total: int = 100, order_id: str = "", version: int = 1, **changes: str
) -> PublishedEvent:
    """Returns an order of the test's own customer, so that lists of different tests have no common orders."""
    order = an_order(order_id or str(uuid.uuid4()), version)
    order.customer.customer_id = customer
    order.total.CopyFrom(money(total))
    for path, value in changes.items():
        setattr(order, path, value)
    return published(order)


def whose(customer: str, **fields: object) -> contract.OrderFilter:
    return contract.OrderFilter(customer_ids=[customer], **fields)  # type: ignore[arg-type]
