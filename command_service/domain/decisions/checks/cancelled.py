"""Refuses a cancelled order to commands that cannot work on one."""

from __future__ import annotations

from command_service.domain import rules
from command_service.domain.errors import RuleViolated
from command_service.domain.order import Order
from command_service.domain.states import OrderState


def check_not_cancelled(state: Order, command: str, advice: str = "Place a new order.") -> None:
    """Refuses a cancelled order. For the message, `command` is the method's name, and `advice` says what to do."""
    if state.state in (OrderState.CANCELLED, OrderState.REFUNDED):
        message = f"{command} needs an order that is not cancelled; this one is {state.state}. {advice}"
        raise RuleViolated(rules.ORDER_CANCELLED, message, {"state": state.state})
