"""An import is over when everything of it can be found, and not when its last order can."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tandem.orders.v1 import order_query_service_pb2 as contract

from devstack.importers.run import until_searchable
from tests.support.queries.order_events import an_order, published
from tests.support.queries.query_serving import Server, apply, freshness, names, own_server
from tests.support.queries.read_side import ReadSide, empty_read_side, read_side
from tests.support.waiting import eventually

__all__ = ["empty_read_side", "own_server", "read_side"]
SOURCE = "webshop"
Until = Callable[[Any, str, str, str], Awaitable[None]]


class Counted:
    """The query service's stub; `seen` are the numbers of orders that its answers told of."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.seen: list[int] = []

    async def SearchOrders(  # noqa: N802 - the contract's name
        self, request: contract.SearchOrdersRequest, timeout: float
    ) -> contract.SearchOrdersResponse:
        response = await self._server.stub.SearchOrders(request, timeout=timeout)
        if not request.filter.text:
            self.seen.append(response.total_size)
        return response


async def check(side: ReadSide, server: Server, until: Until) -> None:
    """The last order is applied before the first one is."""
    first, last = (published(an_order()) for _ in range(2))
    stub = Counted(server)
    async with side.projecting():  # it refreshes when it is asked
        await apply(side, last)
        await side.store.record_freshness(freshness(datetime.now(UTC) - timedelta(seconds=10)))
        waiting = asyncio.ensure_future(until(stub, SOURCE, last.order.order_number, names(last)))
        await eventually(lambda: waiting.done() or len(stub.seen) >= 5, "the import's end is looked for")
        assert not waiting.done(), "over too early"
        await apply(side, first)
        await side.store.record_freshness(freshness(datetime.now(UTC) + timedelta(seconds=60)))
        await waiting
        answer = await server.stub.SearchOrders(
            contract.SearchOrdersRequest(filter=contract.OrderFilter(sources=[SOURCE])), timeout=60
        )
        assert answer.total_size == 2


async def test_an_import_is_over_when_all_of_it_is_found(read_side: ReadSide, own_server: Server) -> None:
    await check(read_side, own_server, until_searchable)


@pytest.mark.mutant
async def test_mutant_that_looks_for_the_last_order_alone_is_noticed(read_side: ReadSide, own_server: Server) -> None:
    async def last_alone(stub: Counted, source: str, order_number: str, _: str) -> None:
        wanted = contract.OrderFilter(text=order_number, sources=[source])
        while not (await stub.SearchOrders(contract.SearchOrdersRequest(filter=wanted), timeout=60)).orders:
            await asyncio.sleep(0.05)

    with pytest.raises(AssertionError, match="over too early"):
        await check(read_side, own_server, last_alone)
