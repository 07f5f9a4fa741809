"""Decides RefundOrder, which records that money was paid back."""

from __future__ import annotations

from datetime import datetime

from command_service.domain import rules
from command_service.domain.commands import RefundOrder
from command_service.domain.decision import Decision, decided
from command_service.domain.decisions.checks.amounts import movement
from command_service.domain.decisions.checks.business_time import business_time
from command_service.domain.decisions.checks.movement_ids import check_new
from command_service.domain.errors import RuleViolated
from command_service.domain.events import OrderRefunded
from command_service.domain.money import Money, decimal_text
from command_service.domain.movements import Refund
from command_service.domain.order import Order


def decide_refund_order(state: Order, command: RefundOrder, now: datetime) -> Decision[OrderRefunded]:
    """Returns ORDER_REFUNDED. Refuses an amount above what is due back, and a refund id that the order has already."""
    check_new("refund_id", command.refund_id, (refund.refund_id for refund in state.refunds))
    amount = movement(command.amount, state.currency, "the refund")
    due = Money(state.currency, state.amounts.refund_due)
    if amount > due.minor_units:
        raise RuleViolated(
            rules.REFUND_AT_MOST_DUE,
            f"RefundOrder needs an amount of at most {decimal_text(due)}, which is due; it is"
            f" {decimal_text(command.amount)}. Cancel pieces or record a return first.",
            {"refund_due": decimal_text(due)},
        )
    refund = Refund(
        refund_id=command.refund_id,
        amount=amount,
        reference=command.reference,
        refunded_at=business_time(command.refunded_at, now, "the refund"),
    )
    return decided(state, OrderRefunded(refund, previous_state=state.state))
