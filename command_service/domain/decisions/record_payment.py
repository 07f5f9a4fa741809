"""Decides RecordPayment. A payment of more than the order's total is recorded too, and the excess is due back."""

from __future__ import annotations

from datetime import datetime

from command_service.domain.commands import RecordPayment
from command_service.domain.decision import Decision, decided
from command_service.domain.decisions.checks.amounts import check_size, movement
from command_service.domain.decisions.checks.business_time import business_time, whole_second
from command_service.domain.decisions.checks.movement_ids import check_new
from command_service.domain.events import OrderPaid
from command_service.domain.money import Money
from command_service.domain.movements import Payment
from command_service.domain.order import Order


def decide_record_payment(state: Order, command: RecordPayment, now: datetime) -> Decision[OrderPaid]:
    """Returns ORDER_PAID in any state of the order.

    Refuses a payment id that the order has already, a wrong amount or currency, and a wrong time.
    """
    check_new("payment_id", command.payment_id, (payment.payment_id for payment in state.payments))
    amount = movement(command.amount, state.currency, "the payment")
    check_size(Money(state.currency, state.amounts.paid + amount), "the sum of the payments")
    payment = Payment(
        payment_id=command.payment_id,
        amount=amount,
        method=command.method,
        reference=command.reference,
        paid_at=business_time(
            command.paid_at, now, "the payment", after=whole_second(state.placed_at), event="the order was placed"
        ),
    )
    return decided(state, OrderPaid(payment, previous_state=state.state))
