"""Refuses commands that need an order which is not cancelled."""

from __future__ import annotations

from command_service.domain import rules
from command_service.domain.errors import RuleViolated
from command_service.domain.order import Order
from command_service.domain.states import OrderState


def check_not_cancelled(state: Order, command: str, advice: str = "Place a new order.") -> None:
    """Refuses a cancelled order; `command` is the name of the method: `ShipOrder`."""
    if state.state in (OrderState.CANCELLED, OrderState.REFUNDED):
        message = f"{command} needs an order that is not cancelled; this one is {state.state}. {advice}"
        raise RuleViolated(rules.ORDER_CANCELLED, message, {"state": state.state})
