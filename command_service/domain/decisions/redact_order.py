"""Decides RedactOrder, which is possible in every state of an order."""

from __future__ import annotations

from datetime import datetime

from command_service.domain.commands import RedactOrder
from command_service.domain.decision import Decision, decided
from command_service.domain.events import OrderRedacted
from command_service.domain.order import Order


def decide_redact_order(state: Order, _: RedactOrder, now: datetime) -> Decision[OrderRedacted]:
    """Returns ORDER_REDACTED. Refuses nothing. On a redacted order it changes nothing, so it is not recorded again."""
    return decided(state, OrderRedacted(occurred_at=now))
