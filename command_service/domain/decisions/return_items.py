"""Decides ReturnItems, which records that goods came back."""

from __future__ import annotations

from datetime import datetime

from command_service.domain import rules
from command_service.domain.commands import ReturnItems
from command_service.domain.decision import Decision, decided
from command_service.domain.decisions.checks.business_time import business_time
from command_service.domain.decisions.checks.movement_ids import check_new
from command_service.domain.decisions.checks.pieces import named_pieces, returnable_pieces
from command_service.domain.errors import RuleViolated
from command_service.domain.events import OrderReturned
from command_service.domain.movements import Return
from command_service.domain.order import Order


def decide_return_items(state: Order, command: ReturnItems, now: datetime) -> Decision[OrderReturned]:
    """Returns ORDER_RETURNED. What was paid for the returned pieces is then due back.

    Refuses more pieces than were delivered and not yet returned, and a time before the first delivery.
    """
    if not command.items or state.quantities.delivered == state.quantities.returned:
        message = f"ReturnItems needs delivered pieces that were not returned; {_lack(state)}."
        raise RuleViolated(rules.RETURN_DELIVERED_ONLY, message, {"state": state.state})
    check_new("return_id", command.return_id, (returned.return_id for returned in state.returns))
    items = named_pieces(state.lines, command.items, returnable_pieces, rules.RETURN_DELIVERED_ONLY)
    first_arrival = min(shipment.delivered_at for shipment in state.shipments if shipment.delivered_at is not None)
    returned_at = business_time(command.returned_at, now, "the return", after=first_arrival, event="the first delivery")
    return decided(state, OrderReturned(Return(command.return_id, items, returned_at), previous_state=state.state))


def _lack(state: Order) -> str:
    """Returns the part of the message that says what is missing, and what to do about it."""
    if state.quantities.delivered > state.quantities.returned:
        return "the command names none"
    advice = "" if state.quantities.all_delivered else ". Record the delivery first"
    return f"this order is {state.state} and has none{advice}"
