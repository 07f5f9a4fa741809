"""RecordPayment and RefundOrder: money that arrives is always recordable, what goes back is at most what is due."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from command_service.domain import rules
from command_service.domain.commands import Command
from command_service.domain.decisions import decide
from command_service.domain.events import OrderPaid, OrderRefunded
from command_service.domain.money import MAX_AMOUNT, Money
from command_service.domain.movements import Payment, Refund
from command_service.domain.order import Order
from command_service.domain.rules import CLOCK_TOLERANCE
from command_service.domain.states import OrderState, PaymentState
from tests.support.commands.domain_orders import (
    HOLD,
    NOW,
    after,
    cancel,
    deliver,
    euros,
    new_line,
    paid,
    pay,
    placed,
    refund,
    ship,
    take_back,
)
from tests.support.commands.refusals import Refused

TOTAL = placed().total
EARLIER = NOW - timedelta(days=2)
CANCELLED = after(paid(), cancel())
REFUNDED = after(CANCELLED, refund(euros(TOTAL)))
OVERPAID = after(placed(), pay(euros(TOTAL + 5_00)))


def test_the_payment_it_records() -> None:
    order = replace(placed(), placed_at=EARLIER)
    event = decide(order, pay(euros(7), reference="bank", paid_at=EARLIER), NOW).event
    payment = Payment("P1", 7, "card", "bank", EARLIER)
    assert event == OrderPaid(payment, previous_state=OrderState.PLACED)
    assert event.occurred_at == EARLIER
    recorded = after(order, pay(euros(7), reference="bank", paid_at=EARLIER))
    assert recorded.payments == (payment,)
    # The payment is older than the order's last change.
    assert (recorded.version, recorded.updated_at) == (order.version + 1, NOW)
    assert after(order, pay(euros(7))).payments[0].paid_at == NOW


@pytest.mark.parametrize(
    ("amounts", "state", "payment_state", "due"),
    [
        ([1], OrderState.PLACED, PaymentState.PARTIALLY_PAID, 0),
        ([TOTAL - 1], OrderState.PLACED, PaymentState.PARTIALLY_PAID, 0),
        ([TOTAL], OrderState.PAID, PaymentState.PAID, 0),
        ([TOTAL - 1, 1], OrderState.PAID, PaymentState.PAID, 0),
        ([TOTAL + 1], OrderState.PAID, PaymentState.REFUND_DUE, 1),
        ([TOTAL, TOTAL], OrderState.PAID, PaymentState.REFUND_DUE, TOTAL),
    ],
)
def test_what_payments_make_of_an_order(
    amounts: list[int], state: OrderState, payment_state: PaymentState, due: int
) -> None:
    order = after(placed(), *(pay(euros(amount), f"P{n}") for n, amount in enumerate(amounts)))
    assert (order.state, order.payment_state, order.amounts.refund_due) == (state, payment_state, due)
    assert order.amounts.paid == sum(amounts)


@pytest.mark.parametrize(
    ("state", "due"),
    [
        (after(placed(), cancel()), 1_00),
        (CANCELLED, TOTAL + 1_00),
        (REFUNDED, 1_00),
        (after(placed(), HOLD), 0),
        (after(paid(), ship()), 1_00),
        (after(paid(), ship(), deliver()), 1_00),
        (after(paid(), ship(), deliver(), take_back((1, 3), (2, 1))), TOTAL - 4_95 + 1_00),
    ],
    ids=["cancelled", "cancelled paid", "refunded", "held", "shipped", "delivered", "returned"],
)
def test_money_is_recorded_whatever_has_become_of_the_order(state: Order, due: int) -> None:
    order = after(state, pay(euros(1_00), "late"))
    assert order.payments[-1].payment_id == "late"
    assert order.amounts.refund_due == due
    assert (order.payment_state is PaymentState.REFUND_DUE) == (due > 0)
    assert order.on_hold == state.on_hold


def test_money_on_a_refunded_order_opens_it_again() -> None:
    assert REFUNDED.state is OrderState.REFUNDED
    order = after(REFUNDED, pay(euros(1), "late"))
    assert (order.state, order.amounts.refund_due) == (OrderState.CANCELLED, 1)
    assert after(order, refund(euros(1), "F2")).state is OrderState.REFUNDED


def test_the_refund_it_records() -> None:
    event = decide(OVERPAID, refund(euros(2_00), reference="back", refunded_at=EARLIER), NOW).event
    assert event == OrderRefunded(Refund("F1", 2_00, "back", EARLIER), previous_state=OrderState.PAID)
    order = after(OVERPAID, refund(euros(2_00)), refund(euros(3_00), "F2"))
    assert [each.amount for each in order.refunds] == [2_00, 3_00]
    assert (order.amounts.refund_due, order.amounts.refunded) == (0, 5_00)
    assert (order.state, order.payment_state) == (OrderState.PAID, PaymentState.PARTIALLY_REFUNDED)


def test_all_money_back_of_a_cancelled_order_refunds_it() -> None:
    part = after(CANCELLED, refund(euros(TOTAL - 1)))
    assert (part.state, part.payment_state) == (OrderState.CANCELLED, PaymentState.REFUND_DUE)
    whole = after(part, refund(euros(1), "F2"))
    assert (whole.state, whole.payment_state) == (OrderState.REFUNDED, PaymentState.REFUNDED)


def test_what_came_back_is_due_back() -> None:
    delivered = after(paid(), ship(), deliver())
    line = delivered.lines[1]
    returned = after(delivered, take_back((2, 1)))
    assert returned.amounts.refund_due == line.net_amount + line.tax_amount
    assert after(returned, refund(euros(returned.amounts.refund_due))).payment_state is PaymentState.PARTIALLY_REFUNDED


def test_a_clock_may_be_a_little_ahead() -> None:
    ahead = NOW + CLOCK_TOLERANCE
    assert after(placed(), pay(euros(1), paid_at=ahead)).payments[0].paid_at == ahead


def test_a_time_of_whole_seconds_is_not_before_the_order() -> None:
    second = NOW.replace(microsecond=0)
    assert second < NOW
    assert after(placed(), pay(euros(1), paid_at=second)).payments[0].paid_at == second


def _too_late(command: Command, state: Order) -> Refused:
    return Refused(rules.TIME_IN_FUTURE, state, command)


AHEAD = NOW + CLOCK_TOLERANCE + timedelta(microseconds=1)
DEAR = new_line(unit_price=euros(MAX_AMOUNT), quantity=1, discount_basis_points=0, tax_rate_basis_points=0)
RICH = placed(lines=(DEAR,), freight=None)
REFUSED = {
    "another payment with its id": Refused(rules.MOVEMENT_ID_TAKEN, OVERPAID, pay(euros(1)), {"payment_id": "P1"}),
    "the same payment again": Refused(rules.MOVEMENT_ID_TAKEN, OVERPAID, pay(euros(TOTAL + 5_00))),
    "payment in another currency": Refused(rules.ONE_CURRENCY, placed(), pay(Money("USD", 1))),
    "payment of nothing": Refused(rules.AMOUNT_POSITIVE, placed(), pay(euros(0))),
    "payment of less than nothing": Refused(rules.AMOUNT_POSITIVE, placed(), pay(euros(-1))),
    "payment too large": Refused(rules.AMOUNT_TOO_LARGE, placed(), pay(euros(MAX_AMOUNT + 1))),
    "payments too large together": Refused(
        rules.AMOUNT_TOO_LARGE, after(RICH, pay(euros(MAX_AMOUNT))), pay(euros(1), "P2")
    ),
    "payment before the order": Refused(
        rules.TIME_ORDER, placed(), pay(euros(1), paid_at=NOW.replace(microsecond=0) - timedelta(microseconds=1))
    ),
    "payment in the future": _too_late(pay(euros(1), paid_at=AHEAD), placed()),
    "another refund with its id": Refused(
        rules.MOVEMENT_ID_TAKEN, after(OVERPAID, refund(euros(1))), refund(euros(1)), {"refund_id": "F1"}
    ),
    "refund in another currency": Refused(rules.ONE_CURRENCY, OVERPAID, refund(Money("USD", 1))),
    "refund of nothing": Refused(rules.AMOUNT_POSITIVE, OVERPAID, refund(euros(0))),
    "refund of more than is due": Refused(
        rules.REFUND_AT_MOST_DUE, OVERPAID, refund(euros(5_01)), {"refund_due": "5.00 EUR"}
    ),
    "refund of what is not due": Refused(rules.REFUND_AT_MOST_DUE, paid(), refund(euros(1))),
    "refund of what was refunded": Refused(rules.REFUND_AT_MOST_DUE, REFUNDED, refund(euros(1), "F2")),
    "refund in the future": _too_late(refund(euros(1), refunded_at=AHEAD), OVERPAID),
}


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
def test_refusals(refused: Refused) -> None:
    refused.check()
