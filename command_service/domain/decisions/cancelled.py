"""What no longer can happen to an order that was given up."""

from __future__ import annotations

from command_service.domain import rules
from command_service.domain.errors import RuleViolated
from command_service.domain.order import Order
from command_service.domain.states import OrderState


def check_not_cancelled(state: Order) -> None:
    """Some of the order is still wanted."""
    if state.state in (OrderState.CANCELLED, OrderState.REFUNDED):
        raise RuleViolated(rules.ORDER_CANCELLED, f"This one is {state.state}.", {"state": state.state})
