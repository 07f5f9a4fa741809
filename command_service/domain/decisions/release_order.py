"""Letting the shipping of an order go on."""

from __future__ import annotations

from datetime import datetime

from command_service.domain import rules
from command_service.domain.commands import ReleaseOrder
from command_service.domain.decision import Decision, decided
from command_service.domain.errors import RuleViolated
from command_service.domain.events import OrderReleased
from command_service.domain.order import Order


def decide_release_order(state: Order, _: ReleaseOrder, now: datetime) -> Decision[OrderReleased]:
    """ORDER_RELEASED, unless the order is not held. Whatever has become of a held order, it can be released."""
    if not state.on_hold:
        raise RuleViolated(rules.RELEASE_HELD_ONLY, "This one is not held.")
    return decided(state, OrderReleased(occurred_at=now))
