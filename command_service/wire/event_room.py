"""Limits the size of an order's events, and chooses which movements to omit so that every event fits.

Callers choose lines, addresses, labels and notes. These are refused when they are so large that a later event might not
fit. Movements (payments, shipments, returns, refunds) are facts and are never refused for their size. So an order in an
event or a response lists as many of its newest movements as fit, and counts the older ones as omitted. Every movement
is complete in the event that recorded it.

All sizes are bytes of the outbox's JSON. A value that can still change is counted with its largest possible size.
"""

from __future__ import annotations

from dataclasses import dataclass

from command_service.application.errors import OrderTooLarge
from command_service.domain.decision import Decision
from command_service.domain.decisions.checks.order_size import order_too_large
from command_service.domain.events import (
    Event,
    OrderCreated,
    OrderImported,
    OrderLabelled,
    OrderRevised,
    OrderShippingAddressChanged,
)
from command_service.domain.order import Order
from command_service.wire.json_sizes import (
    address_size,
    beside_the_order,
    labels_size,
    line_size,
    movement_sizes,
    newest_movements,
    note_size,
    without_movements,
)


@dataclass(frozen=True, slots=True)
class Omitted:
    """How many of the oldest movements of each kind the message of an order leaves out."""

    payments: int = 0
    shipments: int = 0
    returns: int = 0
    refunds: int = 0

    @classmethod
    def all_of(cls, order: Order) -> Omitted:
        """Returns the counts that leave out every movement of the order."""
        return cls(len(order.payments), len(order.shipments), len(order.returns), len(order.refunds))


NOTHING = Omitted()
#: Events whose size the caller chooses. All other events record facts, for which there must always be room.
CHOSEN = (OrderCreated, OrderImported, OrderRevised, OrderShippingAddressChanged, OrderLabelled)


def check_room(decision: Decision[Event], size: int, limit: int) -> None:
    """Refuses a decision whose event of `size` bytes, or a later event of the order, would not fit into `limit` bytes.

    Raises RuleViolated for an event in CHOSEN, whose caller can choose less. Raises OrderTooLarge for other events.
    """
    if isinstance(decision.event, CHOSEN):
        # The imported movements are in no other event, so ORDER_IMPORTED must list all of them.
        every_movement = isinstance(decision.event, OrderImported)
        needed = max(size, room_needed(decision.order, every_movement=every_movement))
        if needed > limit:
            raise order_too_large(needed, limit)
    elif size > limit:
        raise OrderTooLarge(size, limit)


def room_needed(order: Order, *, every_movement: bool) -> int:
    """Returns the largest possible size of a later event of the order that lists the newest movement of each kind.

    With `every_movement` the size of all present movements is added.
    """
    listed = sum(map(sum, movement_sizes(order, None))) if every_movement else 0
    return without_movements(order) + newest_movements(order) + listed


def old_values_of(event: Event) -> int:
    """Returns the bytes of the replaced values that the event contains: old lines, labels, note or address.

    For other events this is 0, because the size of the order without movements has room for them.
    """
    match event:
        case OrderRevised():
            return sum(map(line_size, event.previous_lines))
        case OrderShippingAddressChanged():
            return address_size(event.previous_shipping_address)
        case OrderLabelled():
            return labels_size(event.previous_labels) + note_size(event.previous_note or "")
        case _:
            return 0


def omitted_from(order: Order, limit: int, bare: int | None = None) -> Omitted:
    """Returns how many movements to leave out so that an event fits into `limit` bytes.

    The newest movement of each kind is never left out. `bare` is the order's present size without movements. If it is
    None, the order's largest possible size is used.
    """
    room = limit - (without_movements(order) if bare is None else bare + beside_the_order(order))
    sizes = movement_sizes(order, room)
    totals = [sum(each) for each in sizes]
    # The largest list loses its oldest movement first, so that a thousand payments do not displace the only shipment.
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
