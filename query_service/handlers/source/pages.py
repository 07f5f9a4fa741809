"""Converts requests and pages of the export service from and to the port's types."""

from __future__ import annotations

from collections.abc import Sequence

from tandem.orders.v1 import order_export_service_pb2 as contract

from query_service.application.ports.order_source import (
    BucketDigest,
    HeadPage,
    JournalPage,
    OrderHead,
    OrderJournal,
    OrderSelection,
    SourceDigests,
)
from query_service.projection.recorded_event import RecordedEvent
from query_service.wire.money_and_time import time_message
from query_service.wire.read_info import microseconds_of

#: The orders of a page, if they fit into its bytes: as many as a projector writes with one request.
PAGE_ORDERS = 500


def export_request(
    selection: OrderSelection, order_ids: Sequence[str], view: contract.ExportView.ValueType, after: str
) -> contract.ExportOrdersRequest:
    """Returns the request for the selected orders among `order_ids` (any when empty) that follow `after`."""
    return contract.ExportOrdersRequest(
        after_order_id=after,
        until_order_id=selection.until,
        order_ids=order_ids,
        customer_id=selection.customer_id,
        partitions=selection.partitions,
        page_size=PAGE_ORDERS,
        view=view,
        recorded_from_time=time_message(selection.recorded_from),
        recorded_until_time=time_message(selection.recorded_until),
    )


def head_page(page: contract.ExportOrdersResponse) -> HeadPage:
    """Returns the heads in a page of the view HEADS."""
    heads = [OrderHead(order.order_id, order.version, order.hash.hex()) for order in page.orders]
    return HeadPage(heads, page.last_order_id, microseconds_of(page.read_time), page.source_epoch)


class JournalPages:
    """Joins the events of an order that continues on the next page. Use one per stream of pages."""

    def __init__(self) -> None:
        self._begun: list[RecordedEvent] = []

    def page(self, page: contract.ExportOrdersResponse) -> JournalPage:
        """Returns the complete journals of a page of the view JOURNAL."""
        complete: list[OrderJournal] = []
        for order in page.orders:
            events = [*self._begun, *map(_recorded_event, order.events)]
            if order.events_continue:
                self._begun = events
            else:
                self._begun = []
                complete.append(OrderJournal(order.order_id, order.version, events))
        return JournalPage(complete, page.last_order_id, microseconds_of(page.read_time), page.source_epoch)


def source_digests(answer: contract.DigestOrdersResponse) -> SourceDigests:
    """Returns the digests in an answer."""
    buckets = [BucketDigest(bucket.orders, bucket.digest) for bucket in answer.partitions]
    return SourceDigests(buckets, microseconds_of(answer.read_time), answer.source_epoch)


def _recorded_event(stored: contract.StoredEvent) -> RecordedEvent:
    return RecordedEvent(
        order_id=stored.order_id,
        version=stored.order_version,
        event_id=stored.event_id,
        aggregate_type=stored.aggregate_type,
        event_type=stored.event_type,
        occurred_at=microseconds_of(stored.occur_time),
        recorded_at=microseconds_of(stored.record_time),
        position=stored.position,
        headers=stored.headers,
        payload=stored.payload,
        personal=stored.personal if stored.HasField("personal") else None,
        salt=stored.salt.hex() or None,
        personal_digest=stored.personal_digest.hex(),
        hash=stored.hash.hex(),
    )
