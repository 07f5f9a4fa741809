"""Decides CancelOrder, which cancels all or some pieces that were not shipped."""

from __future__ import annotations

from datetime import datetime

from command_service.domain import rules
from command_service.domain.commands import CancelOrder
from command_service.domain.decision import Decision, decided
from command_service.domain.decisions.checks.cancelled import check_not_cancelled
from command_service.domain.decisions.checks.pieces import all_pieces, named_pieces, open_pieces
from command_service.domain.errors import RuleViolated
from command_service.domain.events import OrderCancelled
from command_service.domain.order import Order


def decide_cancel_order(state: Order, command: CancelOrder, now: datetime) -> Decision[OrderCancelled]:
    """Returns ORDER_CANCELLED. What was paid for the cancelled pieces is then due back.

    Refuses an order with no or too few pieces left to cancel.
    """
    check_not_cancelled(state, "CancelOrder", "Nothing is left to cancel.")
    if state.quantities.open == 0:
        message = (
            f"CancelOrder needs pieces that are not shipped; this order is {state.state} and has none left."
            " Use ReturnItems for delivered pieces."
        )
        raise RuleViolated(rules.OPEN_PIECES_ONLY, message, {"state": state.state})
    items = named_pieces(state.lines, command.items, open_pieces, rules.OPEN_PIECES_ONLY)
    event = OrderCancelled(
        items=items or all_pieces(state.lines, open_pieces),
        previous_total=state.total,
        previous_state=state.state,
        occurred_at=now,
    )
    return decided(state, event)
