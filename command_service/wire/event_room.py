"""Limits the size of an order's events, and chooses which movements to omit so that every event fits.

What callers choose, lines and addresses, is refused when it is too large: it must leave room for everything that may be
recorded later. Movements of money and goods are facts and never refused. So an order, in events and in answers, lists
as many of its newest movements as fit and counts the older ones as omitted. Each is complete in the event that recorded
it. All sizes are bytes of the outbox's JSON. Everything that can grow counts at its largest.
"""

from __future__ import annotations

from dataclasses import dataclass

from command_service.application.errors import OrderTooLarge
from command_service.domain.decision import Decision
from command_service.domain.decisions.order_size import order_too_large
from command_service.domain.events import (
    Event,
    OrderCreated,
    OrderImported,
    OrderRevised,
    OrderShippingAddressChanged,
)
from command_service.domain.order import Order
from command_service.wire.json_sizes import (
    address_size,
    beside_the_order,
    line_size,
    movement_sizes,
    newest_movements,
    without_movements,
)


@dataclass(frozen=True, slots=True)
class Omitted:
    """How many of the oldest movements of each kind an order omits."""

    payments: int = 0
    shipments: int = 0
    returns: int = 0
    refunds: int = 0

    @classmethod
    def all_of(cls, order: Order) -> Omitted:
        """Every movement of the order."""
        return cls(len(order.payments), len(order.shipments), len(order.returns), len(order.refunds))


NOTHING = Omitted()
#: Events of which callers choose how large they are. All others tell what happened, and that must be recordable.
CHOSEN = (OrderCreated, OrderImported, OrderRevised, OrderShippingAddressChanged)


def check_room(decision: Decision[Event], size: int, limit: int) -> None:
    """Refuses an order or event that is too large.

    Raises RuleViolated when the caller's choice leaves too little room for later events, and OrderTooLarge when an
    event of `size` bytes could not be published.
    """
    if isinstance(decision.event, CHOSEN):
        # No other event has an import's movements, so that one must list them all.
        every_movement = isinstance(decision.event, OrderImported)
        needed = max(size, room_needed(decision.order, every_movement=every_movement))
        if needed > limit:
            raise order_too_large(needed, limit)
    elif size > limit:
        raise OrderTooLarge(size, limit)


def room_needed(order: Order, *, every_movement: bool) -> int:
    """Returns the bytes of the largest later event of the order that lists the newest movement of each kind.

    `every_movement`: it lists all other movements too.
    """
    listed = sum(map(sum, movement_sizes(order, None))) if every_movement else 0
    return without_movements(order) + newest_movements(order) + listed


def old_values_of(event: Event) -> int:
    """Returns the bytes of the values that the event replaces; events about movements always fit."""
    match event:
        case OrderRevised():
            return sum(map(line_size, event.previous_lines))
        case OrderShippingAddressChanged():
            return address_size(event.previous_shipping_address)
        case _:
            return 0


def omitted_from(order: Order, limit: int, bare: int | None = None) -> Omitted:
    """Returns the movements that an event of at most `limit` bytes omits. The newest of each kind is always listed.

    `bare` is the order's present size without movements. Without it the largest possible size counts.
    """
    room = limit - (without_movements(order) if bare is None else bare + beside_the_order(order))
    sizes = movement_sizes(order, room)
    totals = [sum(each) for each in sizes]
    # The list that takes most gives up its oldest first: a thousand payments do not crowd out the one shipment.
    while sum(totals) > room:
        shrinking = max((n for n, each in enumerate(sizes) if len(each) > 1), key=totals.__getitem__, default=None)
        if shrinking is None:
            break
        totals[shrinking] -= sizes[shrinking].pop()
    payments, shipments, returns, refunds = map(len, sizes)
    return Omitted(
        payments=len(order.payments) - payments,
        shipments=len(order.shipments) - shipments,
        returns=len(order.returns) - returns,
        refunds=len(order.refunds) - refunds,
    )
