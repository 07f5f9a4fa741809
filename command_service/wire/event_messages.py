"""The domain's events → the contract's `OrderEvent`. One case per event."""

from __future__ import annotations

from uuid import UUID

from tandem.orders.v1 import order_events_pb2 as contract
from tandem.orders.v1 import order_types_pb2

from command_service.domain.events import Event, OrderCreated, OrderHeld, OrderReleased
from command_service.wire.values import timestamp_message


def event_message(
    event_id: UUID,
    event: Event,
    *,
    order_id: UUID,
    version: int,
    order: order_types_pb2.Order | None,
    actor: str,
    request_id: UUID,
    reason: str,
) -> contract.OrderEvent:
    """The event, with the order after it when given."""
    message = contract.OrderEvent(
        event_id=str(event_id),
        order_id=str(order_id),
        order_version=version,
        event_type=event.event_type,
        occur_time=timestamp_message(event.occurred_at),
        order=order,
        reason=reason,
        actor=actor,
        request_id=str(request_id),
    )
    match event:
        case OrderCreated():
            message.order_created.SetInParent()
        case OrderHeld():
            message.order_held.SetInParent()
        case OrderReleased():
            message.order_released.SetInParent()
    return message
