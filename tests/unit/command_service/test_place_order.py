"""PlaceOrder: the order it makes, and every rule that refuses it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from command_service.domain import rules
from command_service.domain.decisions import decide_new
from command_service.domain.errors import RuleViolated
from command_service.domain.money import MAX_AMOUNT, Money
from command_service.domain.parties import Address
from command_service.domain.rules import Rule
from command_service.domain.states import OrderState, PaymentState
from tests.support.commands.domain_orders import NOW, ORDER_ID, euros, full_order, new_line, place_order, placed


def test_the_order_it_makes() -> None:
    order = placed(expected_total=euros(6_75 + 11_30 + 4_95))
    assert (order.order_id, order.version, order.currency, order.source) == (ORDER_ID, 1, "EUR", "web")
    assert [line.line_number for line in order.lines] == [1, 2]
    assert [(line.net_amount, line.tax_amount) for line in order.lines] == [(5_67, 1_08), (9_50, 1_80)]
    assert (order.net_total, order.tax_total, order.total) == (15_17, 2_88, 23_00)
    assert (order.placed_at, order.updated_at) == (NOW, NOW)
    assert order.billing_address == order.shipping_address
    assert (order.state, order.payment_state) == (OrderState.PLACED, PaymentState.UNPAID)


def test_what_the_caller_chose_stays() -> None:
    billing = Address("FR", locality="Lyon")
    order = placed(billing_address=billing, order_number="A-1")
    assert (order.billing_address, order.order_number) == (billing, "A-1")


def test_an_order_that_costs_nothing_is_paid_at_once() -> None:
    order = placed(lines=(new_line(unit_price=euros(0)),), freight=None, expected_total=euros(0))
    assert (order.state, order.payment_state) == (OrderState.PAID, PaymentState.PAID)


def test_the_largest_order() -> None:
    order = placed(lines=tuple(new_line() for _ in range(rules.MAX_LINES)))
    assert len(order.lines) == rules.MAX_LINES
    assert placed(lines=(new_line(unit_price=euros(1), quantity=rules.MAX_QUANTITY),)).lines[0].net_amount == 950_000


REFUSED: dict[str, tuple[Rule, dict[str, Any]]] = {
    "no line": (rules.LINE_COUNT, {"lines": ()}),
    "too many lines": (rules.LINE_COUNT, {"lines": tuple(new_line() for _ in range(501))}),
    "no piece": (rules.QUANTITY_RANGE, {"lines": (new_line(quantity=0),)}),
    "fewer than no pieces": (rules.QUANTITY_RANGE, {"lines": (new_line(quantity=-1),)}),
    "too many pieces": (rules.QUANTITY_RANGE, {"lines": (new_line(quantity=1_000_001),)}),
    "negative discount": (rules.RATE_RANGE, {"lines": (new_line(discount_basis_points=-1),)}),
    "discount above all": (rules.RATE_RANGE, {"lines": (new_line(discount_basis_points=10_001),)}),
    "negative tax": (rules.RATE_RANGE, {"lines": (new_line(tax_rate_basis_points=-1),)}),
    "tax above all": (rules.RATE_RANGE, {"lines": (new_line(tax_rate_basis_points=10_001),)}),
    "negative price": (rules.AMOUNT_NEGATIVE, {"lines": (new_line(unit_price=euros(-1)),)}),
    "negative freight": (rules.AMOUNT_NEGATIVE, {"freight": euros(-1)}),
    "price too large": (rules.AMOUNT_TOO_LARGE, {"lines": (new_line(unit_price=euros(MAX_AMOUNT + 1)),)}),
    "freight too large": (rules.AMOUNT_TOO_LARGE, {"freight": euros(MAX_AMOUNT + 1)}),
    "total too large": (rules.AMOUNT_TOO_LARGE, {"lines": (new_line(unit_price=euros(MAX_AMOUNT)),)}),
    "another line's currency": (rules.ONE_CURRENCY, {"lines": (new_line(), new_line(unit_price=Money("USD", 1)))}),
    "freight in another currency": (rules.ONE_CURRENCY, {"freight": Money("USD", 1)}),
    "expected in another currency": (rules.ONE_CURRENCY, {"expected_total": Money("USD", 23_00)}),
    "expected a cent more": (rules.EXPECTED_TOTAL, {"expected_total": euros(23_01)}),
    "expected a cent less": (rules.EXPECTED_TOTAL, {"expected_total": euros(22_99)}),
    "expected nothing": (rules.EXPECTED_TOTAL, {"expected_total": euros(0)}),
}


@pytest.mark.parametrize(("rule", "changes"), REFUSED.values(), ids=REFUSED)
def test_every_rule_refuses(rule: Rule, changes: dict[str, Any]) -> None:
    with pytest.raises(RuleViolated) as refused:
        decide_new(replace(place_order(), **changes), NOW)
    assert refused.value.rule == rule


def test_every_rule_of_place_order_is_tried() -> None:
    only_in_the_database = {rules.ORDER_ID_TAKEN, rules.ORDER_NUMBER_TAKEN}
    assert {rule for rule, _ in REFUSED.values()} | only_in_the_database == {
        rules.ORDER_ID_TAKEN,
        rules.ORDER_NUMBER_TAKEN,
        rules.LINE_COUNT,
        rules.QUANTITY_RANGE,
        rules.RATE_RANGE,
        rules.AMOUNT_NEGATIVE,
        rules.AMOUNT_TOO_LARGE,
        rules.ONE_CURRENCY,
        rules.EXPECTED_TOTAL,
    }


def test_amounts_of_an_order_with_a_history() -> None:
    order = full_order()
    # Two of three pieces are charged, of which one came back; nothing of the second line has moved.
    assert order.lines[0].net_amount == 3_78
    assert order.lines[0].kept_amount == 1_89 + 36
    assert order.total == (3_78 + 72) + (9_50 + 1_80) + 4_95
    assert order.amounts.refund_due == max(0, 20_00 - 1_00 - (1_89 + 36 + 11_30 + 4_95))
    assert order.payment_state == PaymentState.REFUND_DUE
    given_up = replace(order, lines=tuple(replace(line, cancelled_quantity=line.quantity) for line in order.lines))
    assert (given_up.charged_freight, given_up.total) == (0, 0)
