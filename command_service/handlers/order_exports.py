"""Serves the methods of `OrderExportService`.

A stream reads its next page only when the caller has taken the page before, because gRPC's flow control lets a write
end only then. So each stream has about one page in memory, however slowly its caller reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from functools import partial
from typing import Any

from tandem.orders.v1 import order_export_service_pb2 as contract

from command_service.application.errors import Overloaded
from command_service.application.exporting.commands_first import CommandsFirst
from command_service.application.exporting.errors import ExportInterrupted
from command_service.application.exporting.event_pages import EventPages
from command_service.application.exporting.order_pages import OrderPages
from command_service.application.exporting.pace import Pace
from command_service.application.exporting.ports import Snapshots
from command_service.handlers.export_rules import validate
from command_service.metrics import CommandMetrics
from command_service.wire.export_messages import (
    cuts_message,
    digests_message,
    event_page_parts,
    journal_event,
    order_page_parts,
    stored_event,
    typed_event,
)
from command_service.wire.export_selections import VIEWS, event_selection, order_selection
from command_service.wire.order_messages import order_message
from service_runtime.edge.service_methods import Behaviour, Call, Response

SERVICE = contract.DESCRIPTOR.services_by_name["OrderExportService"]
#: Elements of a page when the request does not say, and at most.
PAGE_SIZE, LARGEST_PAGE = 200, 1_000
_Answer = Callable[[Any, Call], Awaitable[Response]]


class OrderExports:
    """Serves exports, at most `at_once` calls at the same time."""

    def __init__(
        self, snapshots: Snapshots, pace: Pace, commands: CommandsFirst, metrics: CommandMetrics, *, at_once: int
    ) -> None:
        self._snapshots, self._pace, self._commands = snapshots, pace, commands
        self._metrics, self._limit = metrics, at_once
        self._orders, self._events = OrderPages(snapshots, order_message, stored_event), EventPages(snapshots)
        self._stopping = asyncio.Event()
        self.running = 0

    def behaviours(self) -> Mapping[str, Behaviour]:
        """Returns, by method name, the function that serves the method."""
        served: Mapping[str, _Answer] = {
            "ExportOrders": self._export_orders,
            "ExportEvents": self._export_events,
            "DigestOrders": self._digest_orders,
            "SplitOrders": self._split_orders,
        }
        return {name: partial(self._within_limit, answer) for name, answer in served.items()}

    def stop(self) -> None:
        """Ends each stream after its current page. Its caller resumes at another process."""
        self._stopping.set()

    async def _within_limit(self, answer: _Answer, request: Any, call: Call) -> Response:
        with self._place():
            return await answer(request, call)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self.running >= self._limit:
            raise Overloaded
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1

    async def _export_orders(self, request: contract.ExportOrdersRequest, call: Call) -> None:
        validate(request)  # only a unary request is checked before
        size = self._page_size(request.page_size)
        async with aclosing(self._orders.read(order_selection(request), VIEWS[request.view], size)) as pages:
            async for page in pages:
                await self._send(call, order_page_parts(page), len(page.orders))
                self._metrics.exported("orders", len(page.orders))

    async def _export_events(self, request: contract.ExportEventsRequest, call: Call) -> None:
        validate(request)  # only a unary request is checked before
        size = self._page_size(request.page_size)
        represent, copies = (typed_event, 2) if request.typed else (journal_event, 1)
        async with aclosing(self._events.read(event_selection(request), size, represent, copies=copies)) as pages:
            async for page in pages:
                await self._send(call, event_page_parts(page), len(page.events))
                self._metrics.exported("events", len(page.events))

    def _page_size(self, asked: int) -> int:
        return self._pace.most(min(asked or PAGE_SIZE, LARGEST_PAGE))

    async def _send(self, call: Call, parts: Iterator[bytes], elements: int) -> None:
        if self._stopping.is_set():
            raise ExportInterrupted("command_service", "this process stops")
        await self._pace.keep(elements)
        await call.context.write(await self._joined(parts))

    async def _joined(self, parts: Iterator[bytes]) -> bytes:
        page = bytearray()
        for part in parts:
            page += part
            await self._commands.pause()
        return bytes(page)

    async def _digest_orders(self, request: contract.DigestOrdersRequest, _: Call) -> Response:
        async with self._snapshots.open() as snapshot:
            digests = await snapshot.digests(request.partitions)
        return digests_message(digests, request.partitions, snapshot)

    async def _split_orders(self, request: contract.SplitOrdersRequest, _: Call) -> Response:
        async with self._snapshots.open() as snapshot:
            until, orders = await snapshot.cuts(request.parts)
        return cuts_message(until, orders)
