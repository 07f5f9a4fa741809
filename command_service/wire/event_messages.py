"""The domain's events → the contract's `OrderEvent`. One case per event."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from google.type.money_pb2 import Money as MoneyMessage
from tandem.orders.v1 import order_events_pb2 as contract
from tandem.orders.v1 import order_types_pb2

from command_service.domain.events import (
    Event,
    OrderCancelled,
    OrderCreated,
    OrderDelivered,
    OrderHeld,
    OrderImported,
    OrderPaid,
    OrderRefunded,
    OrderReleased,
    OrderReturned,
    OrderRevised,
    OrderShipped,
    OrderShippingAddressChanged,
)
from command_service.wire.order_messages import (
    ORDER_STATES,
    line_message,
    line_quantities,
    payment_message,
    refund_message,
    return_message,
    shipment_message,
)
from command_service.wire.values import money_message, timestamp_message


def event_message(
    event_id: UUID,
    event: Event,
    *,
    order_id: UUID,
    version: int,
    currency: str,
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
    _set_change(message, event, currency)
    return message


def _set_change(message: contract.OrderEvent, event: Event, currency: str) -> None:
    def money(minor_units: int) -> MoneyMessage:
        return money_message(currency, minor_units)

    match event:
        case OrderCreated():
            message.order_created.SetInParent()
        case OrderImported():
            message.order_imported.CopyFrom(
                contract.OrderImported(payments=len(event.payments), shipments=len(event.shipments))
            )
        case OrderRevised():
            message.order_revised.CopyFrom(_revised(event, currency, money))
        case OrderShippingAddressChanged():
            # The address itself is personal and goes another way.
            region_code = event.previous_shipping_address.region_code
            message.order_shipping_address_changed.CopyFrom(
                contract.OrderShippingAddressChanged(previous_region_code=region_code)
            )
        case OrderPaid():
            message.order_paid.payment.CopyFrom(payment_message(event.payment, currency))
            message.order_paid.previous_state = ORDER_STATES[event.previous_state]
        case OrderShipped():
            message.order_shipped.shipment.CopyFrom(shipment_message(event.shipment))
            message.order_shipped.previous_state = ORDER_STATES[event.previous_state]
        case OrderDelivered():
            message.order_delivered.CopyFrom(
                contract.OrderDelivered(
                    shipment_id=event.shipment_id,
                    deliver_time=timestamp_message(event.occurred_at),
                    previous_state=ORDER_STATES[event.previous_state],
                )
            )
        case OrderCancelled():
            message.order_cancelled.CopyFrom(
                contract.OrderCancelled(
                    items=line_quantities(event.items),
                    previous_total=money(event.previous_total),
                    previous_state=ORDER_STATES[event.previous_state],
                )
            )
        case OrderReturned():
            message.order_returned.returned.CopyFrom(return_message(event.returned))
            message.order_returned.previous_state = ORDER_STATES[event.previous_state]
        case OrderRefunded():
            message.order_refunded.refund.CopyFrom(refund_message(event.refund, currency))
            message.order_refunded.previous_state = ORDER_STATES[event.previous_state]
        case OrderHeld():
            message.order_held.SetInParent()
        case OrderReleased():
            message.order_released.SetInParent()


def _revised(event: OrderRevised, currency: str, money: Callable[[int], MoneyMessage]) -> contract.OrderRevised:
    # The order in the event has those that stayed. Told twice, they would keep large orders from being revised.
    stayed = set(event.lines)
    return contract.OrderRevised(
        previous_lines=[line_message(line, currency) for line in event.previous_lines if line not in stayed],
        previous_freight=money(event.previous_freight),
        previous_total=money(event.previous_total),
    )
