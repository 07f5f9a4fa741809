"""Decides HoldOrder, which stops the shipping of an order."""

from __future__ import annotations

from datetime import datetime

from command_service.domain import rules
from command_service.domain.commands import HoldOrder
from command_service.domain.decision import Decision, decided
from command_service.domain.errors import RuleViolated
from command_service.domain.events import OrderHeld
from command_service.domain.order import Order


def decide_hold_order(state: Order, _: HoldOrder, now: datetime) -> Decision[OrderHeld]:
    """Returns ORDER_HELD. Refuses an order that has no pieces left to ship or is on hold already."""
    if state.quantities.open == 0:
        message = f"HoldOrder needs pieces left to ship; this order is {state.state} and has none."
        raise RuleViolated(rules.HOLD_OPEN_ONLY, message, {"state": state.state})
    if state.on_hold:
        message = "HoldOrder needs an order that is not on hold; this one is on hold already."
        raise RuleViolated(rules.HOLD_ONCE, message)
    return decided(state, OrderHeld(occurred_at=now))
