"""Decides ReleaseOrder, which ends the hold of an order."""

from __future__ import annotations

from datetime import datetime

from command_service.domain import rules
from command_service.domain.commands import ReleaseOrder
from command_service.domain.decision import Decision, decided
from command_service.domain.errors import RuleViolated
from command_service.domain.events import OrderReleased
from command_service.domain.order import Order


def decide_release_order(state: Order, _: ReleaseOrder, now: datetime) -> Decision[OrderReleased]:
    """Returns ORDER_RELEASED. Refuses only an order that is not on hold."""
    if not state.on_hold:
        message = "ReleaseOrder needs an order on hold; this one is not on hold."
        raise RuleViolated(rules.RELEASE_HELD_ONLY, message)
    return decided(state, OrderReleased(occurred_at=now))
