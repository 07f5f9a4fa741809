"""Turns the domain's events into the contract's `OrderEvent`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from google.protobuf.message import Message
from tandem.orders.v1 import order_events_pb2 as contract

from command_service.application.command_call import CommandCall
from command_service.domain.decision import Decision
from command_service.domain.events import (
    Event,
    OrderCancelled,
    OrderCreated,
    OrderDelivered,
    OrderHeld,
    OrderImported,
    OrderLabelled,
    OrderPaid,
    OrderRedacted,
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


def event_message(event_id: UUID, decision: Decision[Event], call: CommandCall) -> contract.OrderEvent:
    """Returns the message of the event. Its field `order`, the order after the event, is left unset."""
    event, order = decision.event, decision.order
    field, change = CHANGES[type(event)]
    changes: dict[str, Any] = {field: change(event, order.currency)}
    return contract.OrderEvent(
        event_id=str(event_id),
        order_id=str(order.order_id),
        order_version=order.version,
        event_type=event.event_type,
        occur_time=timestamp_message(event.occurred_at),
        reason=call.reason,
        actor=call.principal,
        request_id=str(call.request_id),
        **changes,
    )


def _imported(event: OrderImported, _: str) -> contract.OrderImported:
    return contract.OrderImported(payments=len(event.payments), shipments=len(event.shipments))


def _revised(event: OrderRevised, currency: str) -> contract.OrderRevised:
    # Unchanged lines are in the event's order already. If they were here too, the event of a large order would not fit.
    stayed = set(event.lines)
    return contract.OrderRevised(
        previous_lines=[line_message(line, currency) for line in event.previous_lines if line not in stayed],
        previous_freight=money_message(currency, event.previous_freight),
        previous_total=money_message(currency, event.previous_total),
    )


def _redirected(event: OrderShippingAddressChanged, _: str) -> contract.OrderShippingAddressChanged:
    # The rest of the address is personal data, which is stored separately.
    return contract.OrderShippingAddressChanged(previous_region_code=event.previous_shipping_address.region_code)


def _paid(event: OrderPaid, currency: str) -> contract.OrderPaid:
    return contract.OrderPaid(
        payment=payment_message(event.payment, currency), previous_state=ORDER_STATES[event.previous_state]
    )


def _shipped(event: OrderShipped, _: str) -> contract.OrderShipped:
    return contract.OrderShipped(
        shipment=shipment_message(event.shipment), previous_state=ORDER_STATES[event.previous_state]
    )


def _delivered(event: OrderDelivered, _: str) -> contract.OrderDelivered:
    return contract.OrderDelivered(
        shipment_id=event.shipment_id,
        deliver_time=timestamp_message(event.occurred_at),
        previous_state=ORDER_STATES[event.previous_state],
    )


def _cancelled(event: OrderCancelled, currency: str) -> contract.OrderCancelled:
    return contract.OrderCancelled(
        items=line_quantities(event.items),
        previous_total=money_message(currency, event.previous_total),
        previous_state=ORDER_STATES[event.previous_state],
    )


def _returned(event: OrderReturned, _: str) -> contract.OrderReturned:
    return contract.OrderReturned(
        returned=return_message(event.returned), previous_state=ORDER_STATES[event.previous_state]
    )


def _refunded(event: OrderRefunded, currency: str) -> contract.OrderRefunded:
    return contract.OrderRefunded(
        refund=refund_message(event.refund, currency), previous_state=ORDER_STATES[event.previous_state]
    )


#: Type of event → the field of `OrderEvent.change` that it sets, and a function that makes the field's message from the
#: event and the order's currency.
CHANGES: Mapping[type[Event], tuple[str, Callable[[Any, str], Message]]] = {
    OrderCreated: ("order_created", lambda *_: contract.OrderCreated()),
    OrderImported: ("order_imported", _imported),
    OrderRevised: ("order_revised", _revised),
    OrderShippingAddressChanged: ("order_shipping_address_changed", _redirected),
    OrderPaid: ("order_paid", _paid),
    OrderShipped: ("order_shipped", _shipped),
    OrderDelivered: ("order_delivered", _delivered),
    OrderCancelled: ("order_cancelled", _cancelled),
    OrderReturned: ("order_returned", _returned),
    OrderRefunded: ("order_refunded", _refunded),
    OrderHeld: ("order_held", lambda *_: contract.OrderHeld()),
    OrderReleased: ("order_released", lambda *_: contract.OrderReleased()),
    OrderLabelled: ("order_labelled", lambda *_: contract.OrderLabelled()),
    OrderRedacted: ("order_redacted", lambda *_: contract.OrderRedacted()),
}
