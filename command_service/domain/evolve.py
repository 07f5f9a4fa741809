"""State and event → next state. Never refuses: what happened, happened."""

from __future__ import annotations

from command_service.domain.events import Event, OrderCreated
from command_service.domain.order import Order


def evolve(state: Order | None, event: Event) -> Order:
    """The order after `event`, one version on; `state` is None before the first event."""
    match event:
        case OrderCreated():
            return _created(state, event)


def _created(state: Order | None, event: OrderCreated) -> Order:
    assert state is None, "an order is created once"
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
