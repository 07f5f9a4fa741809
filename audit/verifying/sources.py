"""Reads the copies of orders: state tables and journal by the export service, the read model, and the audit log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import grpc
import psycopg
from google.protobuf.duration_pb2 import Duration
from tandem.orders.v1.order_export_service_pb2 import ExportOrdersRequest, ExportView, SplitOrdersRequest
from tandem.orders.v1.order_export_service_pb2_grpc import OrderExportServiceStub
from tandem.orders.v1.order_query_service_pb2 import (
    ReadOptions,
    VerifyOrderHistoryRequest,
    VerifyOrderHistoryResponse,
)
from tandem.orders.v1.order_query_service_pb2_grpc import OrderQueryServiceStub

from audit.leaves.hash_chain import RecordedEvent
from audit.proving.journal import ExportedJournal
from audit.storage import leaf_rows
from audit.storage.leaf_rows import LeafRow
from audit.verifying.copies import Copies, State

if TYPE_CHECKING:  # the stubs' asynchronous flavour exists for the type checker only
    from tandem.orders.v1.order_export_service_pb2_grpc import OrderExportServiceAsyncStub
    from tandem.orders.v1.order_query_service_pb2_grpc import OrderQueryServiceAsyncStub

#: Orders that are held at once.
TOGETHER = 100
#: Calls of the query service at once, and seconds for each.
CALLS, CALL_SECONDS = 8, 30.0
#: How long the query service looks again at what seems wrong.
WAIT_NANOS = 500_000_000


#: The read model cannot have the order: it is unknown there, or all that is there is parked.
_ABSENT = frozenset({grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION})


class ReadModelSilent(Exception):  # noqa: N818 - says what is wrong
    """The query service does not answer. The message says why."""


class Sources:
    """All copies but the stream's. `log` is None if there is no audit log.

    Raises grpc.aio.AioRpcError of the export service, ReadModelSilent, psycopg.Error.

    The state tables are read before the journal. So the journal has at least the versions that the tables have.
    """

    def __init__(
        self, exports: grpc.aio.Channel, queries: grpc.aio.Channel, log: psycopg.AsyncConnection | None
    ) -> None:
        self._exports: OrderExportServiceAsyncStub = OrderExportServiceStub(exports)
        self._queries: OrderQueryServiceAsyncStub = OrderQueryServiceStub(queries)
        self._journal, self._log = ExportedJournal(exports), log
        self._calls = asyncio.Semaphore(CALLS)

    async def every_order(self) -> AsyncIterator[list[UUID]]:
        """Yields the ids of all orders in groups that are read together."""
        request = ExportOrdersRequest(view=ExportView.EXPORT_VIEW_HEADS, page_size=TOGETHER)
        async for page in self._exports.ExportOrders(request):
            ids = [UUID(order.order_id) for order in page.orders]
            for begin in range(0, len(ids), TOGETHER):
                yield ids[begin : begin + TOGETHER]

    async def number_of_orders(self) -> int:
        """Returns how many orders there are."""
        return int((await self._exports.SplitOrders(SplitOrdersRequest(parts=1))).orders)

    async def copies(self, order_ids: Sequence[UUID]) -> list[Copies]:
        """Returns the copies of these orders, at most TOGETHER."""
        states = await self._states(order_ids)
        journals = await self.journals(order_ids)
        events = [event.event_id for journal in journals.values() for event in journal]
        leaves: dict[UUID, LeafRow] = {}
        if self._log is not None and events:
            leaves = dict(await leaf_rows.of_events(self._log, events))
        indexed = await asyncio.gather(*(self._indexed(order_id) for order_id in order_ids))
        return [
            Copies(order_id, states.get(order_id), journals.get(order_id, ()), leaves, index)
            for order_id, index in zip(order_ids, indexed, strict=True)
        ]

    async def journals(self, order_ids: Sequence[UUID]) -> dict[UUID, Sequence[RecordedEvent]]:
        """Returns the events of these orders, oldest first, by order id."""
        return {order.order_id: order.events async for order in self._journal.orders(order_ids)} if order_ids else {}

    async def _states(self, order_ids: Sequence[UUID]) -> dict[UUID, State]:
        request = ExportOrdersRequest(view=ExportView.EXPORT_VIEW_ORDER, order_ids=[str(one) for one in order_ids])
        return {
            UUID(order.order_id): State(order.version, order.hash, order.order)
            async for page in self._exports.ExportOrders(request)
            for order in page.orders
        }

    async def _indexed(self, order_id: UUID) -> VerifyOrderHistoryResponse | None:
        options = ReadOptions(max_wait=Duration(nanos=WAIT_NANOS))
        request = VerifyOrderHistoryRequest(order_id=str(order_id), read_options=options)
        async with self._calls:
            try:
                return await self._queries.VerifyOrderHistory(request, timeout=CALL_SECONDS)
            except grpc.aio.AioRpcError as error:
                if error.code() in _ABSENT:
                    return None
                raise ReadModelSilent(error.details() or error.code().name) from None
