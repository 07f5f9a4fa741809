"""State, command and time → events, or a refusal. One module per command; `decide` is the way in."""

from __future__ import annotations

from datetime import datetime

from command_service.domain.commands import Command, PlaceOrder
from command_service.domain.decisions.place_order import decide_place_order
from command_service.domain.events import Event
from command_service.domain.order import Order

__all__ = ["decide"]


def decide(state: Order | None, command: Command, now: datetime) -> tuple[Event, ...]:
    """What `command` makes happen to the order at `now`; `state` is None for an order that does not exist.

    At least one event; raises Refusal when the state does not allow the command.
    """
    match command:
        case PlaceOrder():
            return decide_place_order(state, command, now)
