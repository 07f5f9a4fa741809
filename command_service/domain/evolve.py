"""Computes the order after an event. It refuses nothing, because an event is a fact."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from command_service.domain.events import (
    LaterEvent,
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
from command_service.domain.labels import NO_LABELS
from command_service.domain.line import OrderLine
from command_service.domain.movements import LineQuantity
from command_service.domain.order import Order
from command_service.domain.parties import Address, Customer


def evolve(state: Order, event: LaterEvent) -> Order:
    """Returns the order after `event`, with a version higher by 1. `state` is the order before it."""
    return replace(
        state,
        version=state.version + 1,
        updated_at=max(state.updated_at, event.occurred_at),
        **_changes(state, event),
    )


def created(event: OrderCreated) -> Order:
    """Returns the new order of `event`, at version 1."""
    return Order(
        order_id=event.order_id,
        order_number=event.order_number,
        version=1,
        source=event.source,
        customer=event.customer,
        shipping_address=event.shipping_address,
        billing_address=event.billing_address,
        currency=event.currency,
        lines=event.lines,
        freight=event.freight,
        placed_at=event.occurred_at,
        updated_at=event.occurred_at,
        labels=event.labels,
        note=event.note,
    )


def imported(event: OrderImported) -> Order:
    """Returns the imported order of `event`, at version 1, with its payments and shipments."""
    order = created(event.accepted)
    lines = order.lines
    times = [order.placed_at, *(payment.paid_at for payment in event.payments)]
    for shipment in event.shipments:
        lines = _moved(lines, shipment.items, "shipped_quantity")
        times.append(shipment.shipped_at)
        if shipment.delivered_at is not None:
            lines = _moved(lines, shipment.items, "delivered_quantity")
            times.append(shipment.delivered_at)
    return replace(
        order,
        lines=lines,
        payments=event.payments,
        shipments=event.shipments,
        on_hold=event.on_hold,
        updated_at=max(times),
    )


def _changes(state: Order, event: LaterEvent) -> dict[str, Any]:
    """Returns the new values of the order's fields that the event changes, except `version` and `updated_at`."""
    match event:
        case OrderRevised():
            return {"lines": event.lines, "freight": event.freight}
        case OrderShippingAddressChanged():
            return {"shipping_address": event.shipping_address}
        case OrderPaid():
            return {"payments": (*state.payments, event.payment)}
        case OrderShipped():
            lines = _moved(state.lines, event.shipment.items, "shipped_quantity")
            return {"lines": lines, "shipments": (*state.shipments, event.shipment)}
        case OrderDelivered():
            return _delivered(state, event)
        case OrderCancelled():
            return {"lines": _moved(state.lines, event.items, "cancelled_quantity")}
        case OrderReturned():
            lines = _moved(state.lines, event.returned.items, "returned_quantity")
            return {"lines": lines, "returns": (*state.returns, event.returned)}
        case OrderRefunded():
            return {"refunds": (*state.refunds, event.refund)}
        case OrderHeld() | OrderReleased():
            return {"on_hold": isinstance(event, OrderHeld)}
        case OrderLabelled():
            return {"labels": event.labels, "note": event.note}
        case OrderRedacted():
            return {
                "customer": Customer(state.customer.customer_id),
                "shipping_address": Address(state.shipping_address.region_code),
                "billing_address": Address(state.billing_address.region_code),
                "labels": NO_LABELS,
                "note": "",
                "redacted": True,
            }


def _delivered(state: Order, event: OrderDelivered) -> dict[str, Any]:
    arrived = next(shipment for shipment in state.shipments if shipment.shipment_id == event.shipment_id)
    return {
        "lines": _moved(state.lines, arrived.items, "delivered_quantity"),
        "shipments": tuple(
            replace(shipment, delivered_at=event.occurred_at) if shipment is arrived else shipment
            for shipment in state.shipments
        ),
    }


def _moved(lines: tuple[OrderLine, ...], items: Iterable[LineQuantity], quantity: str) -> tuple[OrderLine, ...]:
    """Returns the lines after adding the items' pieces to the field `quantity`, for example `shipped_quantity`."""
    pieces = {item.line_number: item.quantity for item in items}
    return tuple(
        replace(line, **{quantity: getattr(line, quantity) + pieces[line.line_number]})
        if line.line_number in pieces
        else line
        for line in lines
    )
