"""Turns validated requests for exports into selections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import UUID

from tandem.orders.v1 import order_export_service_pb2 as contract

from command_service.application.exporting.selections import START, EventSelection, OrderSelection, View
from command_service.wire.values import optional_time

VIEWS: Mapping[int, View] = {
    contract.EXPORT_VIEW_UNSPECIFIED: View.ORDER,
    contract.EXPORT_VIEW_ORDER: View.ORDER,
    contract.EXPORT_VIEW_JOURNAL: View.JOURNAL,
    contract.EXPORT_VIEW_HEADS: View.HEADS,
}


def order_selection(request: contract.ExportOrdersRequest) -> OrderSelection:
    """Returns which orders the request asks for."""
    return OrderSelection(
        after=UUID(request.after_order_id) if request.after_order_id else START,
        until=UUID(request.until_order_id) if request.until_order_id else None,
        partitions=tuple(sorted(set(request.partitions))),
        customer_id=request.customer_id,
        order_ids=_ids(request.order_ids),
        recorded_from=optional_time(request, "recorded_from_time"),
        recorded_until=optional_time(request, "recorded_until_time"),
    )


def event_selection(request: contract.ExportEventsRequest) -> EventSelection:
    """Returns which events the request asks for."""
    return EventSelection(
        after=request.after_position,
        order_ids=_ids(request.order_ids),
        event_types=tuple(sorted(set(request.event_types))),
        recorded_until=optional_time(request, "until_time"),
    )


def _ids(texts: Iterable[str]) -> tuple[UUID, ...]:
    return tuple(sorted({UUID(text) for text in texts}))
