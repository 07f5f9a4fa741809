"""Sending import requests over one stream and following them until the last one can be found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from google.rpc.status_pb2 import Status
from tandem.orders.errors import OrderError, from_status
from tandem.orders.v1.order_command_service_pb2 import ImportOrdersRequest, ImportOrdersResponse
from tandem.orders.v1.order_query_service_pb2 import OrderFilter, ReadOptions, SearchOrdersRequest

if TYPE_CHECKING:  # the stubs' asynchronous flavour exists for the type checker only
    from tandem.orders.v1.order_command_service_pb2_grpc import OrderCommandServiceAsyncStub
    from tandem.orders.v1.order_query_service_pb2_grpc import OrderQueryServiceAsyncStub

#: Requests that may be under way at once; as large as the service's own window.
WINDOW = 256
SEARCHABLE_WITHIN_SECONDS = 60.0


@dataclass
class ImportResult:
    """What became of the requests; `refused` maps order numbers to refusals."""

    imported: int = 0
    replayed: int = 0
    refused: dict[str, OrderError] = field(default_factory=dict)
    last_token: str = ""

    @property
    def answered(self) -> int:
        """Requests that have a result."""
        return self.imported + self.replayed + len(self.refused)


async def import_orders(
    stub: OrderCommandServiceAsyncStub,
    requests: Iterable[ImportOrdersRequest],
    on_result: Callable[[ImportResult], None] = lambda _: None,
) -> ImportResult:
    """Sends all requests, at most 256 ahead of their results; raises AioRpcError when the stream breaks.

    A broken import is repeated as a whole: what had been imported is then answered as a replay.
    """
    result, room = ImportResult(), asyncio.Semaphore(WINDOW)
    numbers: dict[str, str] = {}

    async def sent() -> AsyncIterator[ImportOrdersRequest]:
        for request in requests:
            await room.acquire()
            numbers[request.request_id] = request.order_number
            yield request

    async for response in stub.ImportOrders(sent()):
        room.release()
        _count(result, response, numbers.pop(response.request_id, ""))
        on_result(result)
    return result


def _count(result: ImportResult, response: ImportOrdersResponse, order_number: str) -> None:
    if response.status:
        result.refused[order_number] = from_status(Status.FromString(response.status))
        return
    if response.replayed:
        result.replayed += 1
    else:
        result.imported += 1
    result.last_token = response.consistency_token


async def until_searchable(stub: OrderQueryServiceAsyncStub, source: str, order_number: str, token: str) -> None:
    """Returns when a search of `source` finds the order; TimeoutError after a minute."""
    request = SearchOrdersRequest(
        filter=OrderFilter(text=order_number, sources=[source]),
        page_size=1,
        read_options=ReadOptions(consistency_token=token),
    )
    async with asyncio.timeout(SEARCHABLE_WITHIN_SECONDS):
        while not (await stub.SearchOrders(request, timeout=10)).orders:
            await asyncio.sleep(0.05)
