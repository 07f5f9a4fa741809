"""Sends a command and then a query that shows its effect, through the public stubs."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import grpc
from tandem.orders.v1 import order_query_service_pb2 as contract
from tandem.orders.v1.order_command_service_pb2 import PlaceOrderRequest, PlaceOrderResponse

from bench.commands.calls import CALL_SECONDS, PLACE, channels, orders
from bench.harness.rounds import NotMeasured
from bench.reads.questions import GET, SEARCH

WATCH = "/tandem.orders.v1.OrderQueryService/WatchOrders"
#: Requests are made in batches of this size, outside the measured time.
_READY = 500
#: The most calls at the same time. They share a few connections, like the calls of a few processes.
CALLERS = 800


class Caller:
    """Places orders and reads them back with the consistency token of the command."""

    def __init__(self, commands: Sequence[Any], queries: Sequence[Any]) -> None:
        self._place = itertools.cycle([channel.unary_unary(PLACE) for channel in commands])
        self._get = itertools.cycle([channel.unary_unary(GET) for channel in queries])
        self._search = itertools.cycle([channel.unary_unary(SEARCH) for channel in queries])
        self._ready: list[PlaceOrderRequest] = []
        self._watch = queries[0].unary_stream(WATCH)
        #: The orders that the watcher has got, and those that somebody waits for.
        self._seen: dict[str, asyncio.Future[None]] = {}

    def make_ready(self, count: int) -> None:
        """Creates PlaceOrder requests until `count` are ready, so that this does not happen in the measured time."""
        self._ready += orders(max(0, count - len(self._ready)))

    async def placed(self) -> PlaceOrderResponse:
        """Places an order and returns the response."""
        if not self._ready:
            self.make_ready(_READY)
        request = self._ready.pop()
        # A new customer, so that a search by customer finds this order only.
        request.customer.customer_id = f"E{request.order_id[:18]}"
        answer = await self._call(self._place, request.SerializeToString())
        return PlaceOrderResponse.FromString(answer)

    async def readable(self) -> None:
        """Places an order and reads it by id. Raises NotMeasured if the answer is older than the order or stale."""
        placed = await self.placed()
        asked = contract.GetOrderRequest(
            order_id=placed.order.order_id,
            read_options=contract.ReadOptions(consistency_token=placed.consistency_token),
        )
        found = contract.GetOrderResponse.FromString(await self._call(self._get, asked.SerializeToString()))
        if found.order.version < placed.version or found.read_info.stale:
            raise NotMeasured(f"order {placed.order.order_id} was not read as it was written")

    async def asked(self, request: bytes) -> None:
        """Sends a GetOrder request as it is, and does not read the answer."""
        await self._call(self._get, request)

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watches all orders within the block, for `watched`."""
        responses = self._watch(b"")
        await responses.read()  # the sign of life at the beginning

        async def read() -> None:
            while (response := await responses.read()) is not grpc.aio.EOF:
                watched = contract.WatchOrdersResponse.FromString(response)
                if watched.HasField("event"):
                    self._arrival(watched.event.order_id).set_result(None)

        reading = asyncio.create_task(read())
        try:
            yield
        finally:
            reading.cancel()
            responses.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def watched(self) -> None:
        """Places an order and waits until a watcher gets it."""
        placed = await self.placed()
        await asyncio.wait_for(self._arrival(placed.order.order_id), CALL_SECONDS)

    def _arrival(self, order_id: str) -> asyncio.Future[None]:
        if order_id not in self._seen:
            self._seen[order_id] = asyncio.get_running_loop().create_future()
        return self._seen[order_id]

    async def searchable(self) -> None:
        """Places an order and searches for it. Raises NotMeasured if the search does not find it or is stale."""
        placed = await self.placed()
        asked = contract.SearchOrdersRequest(
            read_options=contract.ReadOptions(consistency_token=placed.consistency_token)
        )
        asked.filter.customer_ids.append(placed.order.customer.customer_id)
        found = contract.SearchOrdersResponse.FromString(await self._call(self._search, asked.SerializeToString()))
        if [order.order_id for order in found.orders] != [placed.order.order_id] or found.read_info.stale:
            raise NotMeasured(f"order {placed.order.order_id} was not found as it was written")

    @staticmethod
    async def _call(methods: Iterator[Any], request: bytes) -> bytes:
        try:
            answer: bytes = await next(methods)(request, timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise NotMeasured(f"{error.code().name} {error.details()}") from None
        return answer


@contextlib.asynccontextmanager
async def calling(commands: str, queries: str) -> AsyncIterator[Caller]:
    """Yields a caller with connections to both addresses for up to CALLERS calls at the same time."""
    async with channels(commands, CALLERS) as to_commands, channels(queries, CALLERS) as to_queries:
        yield Caller(to_commands, to_queries)
