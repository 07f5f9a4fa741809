"""The three states follow from quantities and amounts: each state by its definition, and no combination without one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_service.domain.states import (
    Amounts,
    FulfillmentState,
    OrderState,
    PaymentState,
    Quantities,
    fulfillment_state,
    order_state,
    payment_state,
)

UNPAID = Amounts(kept=100, paid=0, refunded=0, refund_due=0)
PAID = Amounts(kept=100, paid=100, refunded=0, refund_due=0)


@st.composite
def quantities(draw: st.DrawFn) -> Quantities:
    ordered = draw(st.integers(1, 20))
    cancelled = draw(st.integers(0, ordered))
    shipped = draw(st.integers(0, ordered - cancelled))
    delivered = draw(st.integers(0, shipped))
    return Quantities(ordered, cancelled, shipped, delivered, draw(st.integers(0, delivered)))


@pytest.mark.parametrize(
    ("pieces", "amounts", "state"),
    [
        (Quantities(5, 0, 0, 0, 0), UNPAID, OrderState.PLACED),
        (Quantities(5, 0, 0, 0, 0), Amounts(100, 99, 0, 0), OrderState.PLACED),
        (Quantities(5, 0, 0, 0, 0), PAID, OrderState.PAID),
        (Quantities(5, 0, 0, 0, 0), Amounts(0, 0, 0, 0), OrderState.PAID),  # free: paid at once
        (Quantities(5, 0, 4, 0, 0), PAID, OrderState.PAID),
        (Quantities(5, 0, 5, 0, 0), PAID, OrderState.SHIPPED),
        (Quantities(5, 1, 4, 0, 0), PAID, OrderState.SHIPPED),
        (Quantities(5, 0, 5, 4, 0), PAID, OrderState.SHIPPED),
        (Quantities(5, 0, 4, 4, 0), PAID, OrderState.PAID),
        (Quantities(5, 0, 5, 5, 0), PAID, OrderState.DELIVERED),
        (Quantities(5, 1, 4, 4, 3), PAID, OrderState.DELIVERED),
        (Quantities(5, 1, 4, 4, 4), PAID, OrderState.RETURNED),
        (Quantities(5, 5, 0, 0, 0), Amounts(0, 0, 0, 0), OrderState.CANCELLED),
        (Quantities(5, 5, 0, 0, 0), Amounts(0, 100, 0, 100), OrderState.CANCELLED),
        (Quantities(5, 5, 0, 0, 0), Amounts(0, 100, 40, 60), OrderState.CANCELLED),
        (Quantities(5, 5, 0, 0, 0), Amounts(0, 100, 100, 0), OrderState.REFUNDED),
    ],
)
def test_state_of_life(pieces: Quantities, amounts: Amounts, state: OrderState) -> None:
    assert order_state(pieces, amounts) == state


@pytest.mark.parametrize(
    ("amounts", "state"),
    [
        (UNPAID, PaymentState.UNPAID),
        (Amounts(100, 1, 0, 0), PaymentState.PARTIALLY_PAID),
        (PAID, PaymentState.PAID),
        (Amounts(100, 120, 0, 20), PaymentState.REFUND_DUE),
        (Amounts(100, 120, 20, 0), PaymentState.PARTIALLY_REFUNDED),
        (Amounts(0, 120, 120, 0), PaymentState.REFUNDED),
        (Amounts(0, 0, 0, 0), PaymentState.PAID),
    ],
)
def test_state_of_the_money(amounts: Amounts, state: PaymentState) -> None:
    assert payment_state(Quantities(5, 0, 0, 0, 0), amounts) == state


def test_a_cancelled_order_that_nobody_paid_is_not_paid() -> None:
    assert payment_state(Quantities(5, 5, 0, 0, 0), Amounts(0, 0, 0, 0)) == PaymentState.UNPAID


@pytest.mark.parametrize(
    ("pieces", "state"),
    [
        (Quantities(5, 0, 0, 0, 0), FulfillmentState.UNFULFILLED),
        (Quantities(5, 5, 0, 0, 0), FulfillmentState.UNFULFILLED),
        (Quantities(5, 0, 1, 0, 0), FulfillmentState.PARTIALLY_SHIPPED),
        (Quantities(5, 1, 4, 0, 0), FulfillmentState.SHIPPED),
        (Quantities(5, 0, 5, 1, 0), FulfillmentState.PARTIALLY_DELIVERED),
        (Quantities(5, 0, 4, 4, 0), FulfillmentState.PARTIALLY_DELIVERED),
        (Quantities(5, 1, 4, 4, 0), FulfillmentState.DELIVERED),
        (Quantities(5, 1, 4, 4, 1), FulfillmentState.PARTIALLY_RETURNED),
        (Quantities(5, 1, 4, 4, 4), FulfillmentState.RETURNED),
        (Quantities(5, 0, 4, 4, 4), FulfillmentState.PARTIALLY_RETURNED),
    ],
)
def test_state_of_the_goods(pieces: Quantities, state: FulfillmentState) -> None:
    assert fulfillment_state(pieces) == state


@given(quantities(), st.integers(0, 50), st.integers(0, 50))
def test_goods_and_life_agree(pieces: Quantities, total: int, paid: int) -> None:
    amounts = Amounts(total, paid, 0, max(0, paid - total))
    life, goods = order_state(pieces, amounts), fulfillment_state(pieces)
    assert (life == OrderState.RETURNED) == (goods == FulfillmentState.RETURNED)
    if life == OrderState.CANCELLED:
        assert goods == FulfillmentState.UNFULFILLED
    if life in (OrderState.SHIPPED, OrderState.DELIVERED, OrderState.RETURNED):
        assert pieces.open == 0
