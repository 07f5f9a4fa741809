"""Sends import requests over one stream and waits until all orders can be found."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc
from google.rpc.status_pb2 import Status
from tandem.orders.errors import OrderError, from_status
from tandem.orders.order_import_async import AsyncOrderImport
from tandem.orders.v1.order_command_service_pb2 import ImportOrdersRequest, ImportOrdersResponse
from tandem.orders.v1.order_query_service_pb2 import (
    OrderFilter,
    ReadOptions,
    SearchOrdersRequest,
    SearchOrdersResponse,
)

if TYPE_CHECKING:  # the stubs' asynchronous flavour exists for the type checker only
    from tandem.orders.v1.order_command_service_pb2_grpc import OrderCommandServiceAsyncStub
    from tandem.orders.v1.order_query_service_pb2_grpc import OrderQueryServiceAsyncStub

SEARCHABLE_WITHIN_SECONDS = 60.0
#: Codes of a call whose server or connection was lost.
_BROKEN = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
}


@dataclass
class ImportResult:
    """The results. `refused` maps order numbers to refusals."""

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
    """Sends all requests and counts their results; resumes when a stream breaks.

    Orders that were imported are then answered as replays. Raises AioRpcError when a minute of failures brings no
    result or the service refuses the call itself; OrderError when it is silent for so long.
    """
    result = ImportResult()
    try:
        async for request, response in AsyncOrderImport(stub.ImportOrders, requests):
            _count(result, response, request.order_number)
            on_result(result)
    except OrderError as error:
        if isinstance(error.__cause__, grpc.aio.AioRpcError):
            raise error.__cause__ from None  # as every other call of the command line ends
        raise
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
    """Waits until searches of `source` find this order and everything committed before; TimeoutError after a minute.

    Batches of events are applied concurrently, so the last order may appear before others. `ReadInfo.as_of` of a later
    answer shows that all have appeared.
    """
    last = SearchOrdersRequest(
        filter=OrderFilter(text=order_number, sources=[source]),
        page_size=1,
        read_options=ReadOptions(consistency_token=token),
    )
    anything = SearchOrdersRequest(filter=OrderFilter(sources=[source]), page_size=1)
    found_at: int | None = None
    async with asyncio.timeout(SEARCHABLE_WITHIN_SECONDS):
        while not (await _searched(stub, last)).orders:
            await asyncio.sleep(0.05)
        while True:
            info = (await _searched(stub, anything)).read_info
            if info.HasField("as_of"):  # it has none before the first barrier
                as_of = info.as_of.ToMicroseconds()
                found_at = found_at or as_of + info.staleness.ToMicroseconds()
                if as_of >= found_at:
                    return
            await asyncio.sleep(0.05)


async def _searched(stub: OrderQueryServiceAsyncStub, request: SearchOrdersRequest) -> SearchOrdersResponse:
    """Returns the answer; retries while the read side lags or cannot be reached."""
    while True:
        try:
            return await stub.SearchOrders(request, timeout=10)
        except grpc.aio.AioRpcError as error:
            if error.code() not in _BROKEN:
                raise
        await asyncio.sleep(0.05)
