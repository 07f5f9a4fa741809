"""Reads the journal as it is stored, from the export service of the write side."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

import grpc
from tandem.orders.v1.order_export_service_pb2 import ExportOrdersRequest, ExportView, StoredEvent
from tandem.orders.v1.order_export_service_pb2_grpc import OrderExportServiceStub

from audit.leaves.hash_chain import RecordedEvent

if TYPE_CHECKING:  # the stubs' asynchronous flavour exists for the type checker only
    from tandem.orders.v1.order_export_service_pb2_grpc import OrderExportServiceAsyncStub

#: A page is at most so large; the service ends it earlier when it is large enough.
MOST_BYTES = 64 << 20


class Journal(NamedTuple):
    """The events of one order, oldest first."""

    order_id: UUID
    events: Sequence[RecordedEvent]
    #: Version and hash that the order's row has.
    version: int
    hash: bytes


class ExportedJournal:
    """The journal behind the export service at `address`. Raises grpc.aio.AioRpcError."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: OrderExportServiceAsyncStub = OrderExportServiceStub(channel)

    async def orders(self, order_ids: Sequence[UUID] = ()) -> AsyncIterator[Journal]:
        """Yields the events of all orders, or of some, sorted by order id."""
        request = ExportOrdersRequest(
            view=ExportView.EXPORT_VIEW_JOURNAL, order_ids=[str(order_id) for order_id in order_ids]
        )
        begun: list[RecordedEvent] = []
        async for page in self._stub.ExportOrders(request):
            for order in page.orders:
                begun += [recorded(event) for event in order.events]
                if not order.events_continue:
                    yield Journal(UUID(order.order_id), begun, order.version, order.hash)
                    begun = []


def export_channel(address: str) -> grpc.aio.Channel:
    """Returns a channel that accepts large pages."""
    return grpc.aio.insecure_channel(address, options=[("grpc.max_receive_message_length", MOST_BYTES)])


def recorded(event: StoredEvent) -> RecordedEvent:
    """Returns a stored event as it was recorded."""
    return RecordedEvent(
        event_id=UUID(event.event_id),
        aggregate_type=event.aggregate_type,
        order_id=UUID(event.order_id),
        version=event.order_version,
        event_type=event.event_type,
        occurred_at=event.occur_time.ToMicroseconds(),
        recorded_at=event.record_time.ToMicroseconds(),
        headers=event.headers,
        payload=event.payload,
        personal=event.personal if event.HasField("personal") else None,
        salt=event.salt or None,
        personal_digest=event.personal_digest,
        hash=event.hash,
    )
