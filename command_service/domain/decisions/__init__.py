"""State, command and time → events, or a refusal. One module per command; `decide` is the way in."""

from __future__ import annotations

from datetime import datetime

from command_service.domain.commands import Command, HoldOrder, PlaceOrder, ReleaseOrder
from command_service.domain.decisions.hold_order import decide_hold_order
from command_service.domain.decisions.place_order import decide_place_order
from command_service.domain.decisions.release_order import decide_release_order
from command_service.domain.errors import OrderNotFound
from command_service.domain.events import Event
from command_service.domain.order import Order

__all__ = ["decide"]


def decide(state: Order | None, command: Command, now: datetime) -> tuple[Event, ...]:
    """What `command` makes happen to the order at `now`; `state` is None for an order that does not exist.

    At least one event; raises Refusal when the state does not allow the command, OrderNotFound when
    there is no order to change.
    """
    if isinstance(command, PlaceOrder):
        return decide_place_order(state, command, now)
    if state is None:
        raise OrderNotFound(command.order_id)
    match command:
        case HoldOrder():
            return decide_hold_order(state, now)
        case ReleaseOrder():
            return decide_release_order(state, now)
