"""State and event → next state. Never refuses: what happened, happened."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from command_service.domain.events import Event, OrderCreated, OrderHeld, OrderReleased
from command_service.domain.order import Order


def evolve(state: Order | None, event: Event) -> Order:
    """The order after `event`, one version on; `state` is None before the first event."""
    match event:
        case OrderCreated():
            assert state is None, "an order is created once"
            return _created(event)
    assert state is not None, "nothing happens to an order before it is created"
    return replace(
        state,
        version=state.version + 1,
        updated_at=max(state.updated_at, event.occurred_at),
        **_changes(state, event),
    )


def _changes(state: Order, event: OrderHeld | OrderReleased) -> dict[str, Any]:
    """The fields of the order that the event changes, beside version and time."""
    match event:
        case OrderHeld():
            return {"on_hold": True}
        case OrderReleased():
            return {"on_hold": False}


def _created(event: OrderCreated) -> Order:
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
    )
