"""Implements OrderSource with gRPC calls. A stream of pages that breaks is resumed after the last complete order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

import grpc
from tandem.orders.v1 import order_export_service_pb2 as contract
from tandem.orders.v1.order_export_service_pb2_grpc import OrderExportServiceStub

from query_service.application.ports.errors import DependencyDown
from query_service.application.ports.order_source import (
    EVERY_ORDER,
    HeadPage,
    JournalPage,
    OrderSelection,
    SourceDigests,
    SourceParts,
    SourceRefused,
)
from query_service.handlers.source.pages import JournalPages, export_request, head_page, source_digests
from service_runtime.backoff import Backoff
from service_runtime.error_text import in_one_line

DEPENDENCY = "order-export"
#: The most order ids in a request.
MOST_IDS = 1_000
#: The most bytes of a page. A page that is one event may be as large as the largest event.
MOST_PAGE_BYTES = 64 * 1024 * 1024
#: After so many failures without a complete order in between, the source counts as down.
ATTEMPTS = 5
#: Statuses of requests that no retry makes right.
_REFUSALS = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.FAILED_PRECONDITION,
    }
)
Answer = TypeVar("Answer")
#: Converts a page; one is made for each stream, because an order may continue on the next page.
_Convert = Callable[[contract.ExportOrdersResponse], Any]


class OrderExports:
    """Asks the export service at `address`. `page_seconds` is how long the next page, or an answer, may take."""

    dependency = DEPENDENCY

    def __init__(self, address: str, *, page_seconds: float = 30.0, first_pause: float = 0.1) -> None:
        options = [("grpc.max_receive_message_length", MOST_PAGE_BYTES), ("grpc.keepalive_time_ms", 30_000)]
        self._channel = grpc.aio.insecure_channel(address, options=options)
        self._stub: Any = OrderExportServiceStub(self._channel)
        self._page_seconds, self._first_pause = page_seconds, first_pause

    async def close(self) -> None:
        """See OrderSource."""
        await self._channel.close()

    async def heads(self, selection: OrderSelection = EVERY_ORDER) -> AsyncIterator[HeadPage]:
        """See OrderSource."""
        async for page in self._pages(selection, contract.EXPORT_VIEW_HEADS, lambda: head_page):
            yield page

    async def journals(self, selection: OrderSelection = EVERY_ORDER) -> AsyncIterator[JournalPage]:
        """See OrderSource."""
        async for page in self._pages(selection, contract.EXPORT_VIEW_JOURNAL, lambda: JournalPages().page):
            yield page

    async def digests(self) -> SourceDigests:
        """See OrderSource."""
        # One statement over all orders: it takes as long as a table scan does, so it gets more time than a page.
        request = contract.DigestOrdersRequest()
        return source_digests(
            await self._answer(lambda: self._stub.DigestOrders(request, timeout=10 * self._page_seconds))
        )

    async def split(self, parts: int) -> SourceParts:
        """See OrderSource."""
        request = contract.SplitOrdersRequest(parts=parts)
        answer = await self._answer(lambda: self._stub.SplitOrders(request, timeout=10 * self._page_seconds))
        return SourceParts(list(answer.until_order_ids), answer.orders)

    async def _pages(
        self, selection: OrderSelection, view: contract.ExportView.ValueType, converter: Callable[[], _Convert]
    ) -> AsyncIterator[Any]:
        for order_ids in _id_groups(selection):
            async for page in self._resumed(selection, order_ids, view, converter):
                yield page

    async def _resumed(
        self,
        selection: OrderSelection,
        order_ids: Sequence[str],
        view: contract.ExportView.ValueType,
        converter: Callable[[], _Convert],
    ) -> AsyncIterator[Any]:
        after, failures = selection.after, _Failures(self._first_pause)
        while True:
            call = self._stub.ExportOrders(export_request(selection, order_ids, view, after))
            convert = converter()
            try:
                while (page := await asyncio.wait_for(call.read(), self._page_seconds)) is not grpc.aio.EOF:
                    converted = convert(page)
                    if page.last_order_id > after:
                        after = page.last_order_id
                        failures.none()
                    yield converted
                return
            except (grpc.aio.AioRpcError, TimeoutError) as error:
                await failures.one(error)
            finally:
                call.cancel()

    async def _answer(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        failures = _Failures(self._first_pause)
        while True:
            try:
                return await ask()
            except grpc.aio.AioRpcError as error:
                await failures.one(error)


class _Failures:
    """Counts failures in a row, and waits after each."""

    def __init__(self, first_pause: float) -> None:
        self._count, self._backoff = 0, Backoff(first_pause, 2.0)

    def none(self) -> None:
        self._count = 0
        self._backoff.reset()

    async def one(self, error: Exception) -> None:
        """Waits before the next attempt. Raises SourceRefused, or DependencyDown after too many failures."""
        text = in_one_line(error)
        if isinstance(error, grpc.aio.AioRpcError):
            text = f"{error.code().name}: {error.details() or 'no details'}"
            if error.code() in _REFUSALS:
                raise SourceRefused(f"{DEPENDENCY}: {text}") from None
        self._count += 1
        if self._count >= ATTEMPTS:
            raise DependencyDown(DEPENDENCY, text) from None
        await asyncio.sleep(self._backoff.seconds())


def _id_groups(selection: OrderSelection) -> list[Sequence[str]]:
    """Returns the ids for each request, sorted. A request without ids means any order, so () gives no request."""
    if selection.order_ids is None:
        return [()]
    wanted = sorted(set(selection.order_ids))
    return [wanted[begin : begin + MOST_IDS] for begin in range(0, len(wanted), MOST_IDS)]
