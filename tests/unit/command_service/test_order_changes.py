"""CancelOrder, HoldOrder, ReleaseOrder, ReviseOrder and ChangeShippingAddress."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from command_service.domain import rules
from command_service.domain.commands import ChangeShippingAddress, NewLine, OrderChange, ReviseOrder
from command_service.domain.decision import changes_nothing
from command_service.domain.decisions import decide
from command_service.domain.events import (
    OrderCancelled,
    OrderHeld,
    OrderReleased,
    OrderRevised,
    OrderShippingAddressChanged,
)
from command_service.domain.money import MAX_AMOUNT, Money
from command_service.domain.movements import LineQuantity
from command_service.domain.order import Order
from command_service.domain.parties import Address
from command_service.domain.states import OrderState, PaymentState
from tests.support.commands.domain_orders import (
    HOLD,
    NOW,
    RELEASE,
    after,
    cancel,
    deliver,
    euros,
    move_to,
    new_line,
    paid,
    pay,
    placed,
    refund,
    revise,
    ship,
)
from tests.support.commands.refusals import Refused

CANCELLED = after(placed(), cancel())
SHIPPED = after(paid(), ship())
HELD = after(placed(), HOLD)
IMPORTED_PART = replace(  # shipped in part and not paid: only an import makes such an order
    placed(), lines=(replace(placed().lines[0], shipped_quantity=1), placed().lines[1])
)


def test_cancelling_the_whole_order() -> None:
    order = placed()
    event = decide(order, cancel(), NOW).event
    everything = (LineQuantity(1, 3), LineQuantity(2, 1))
    assert event == OrderCancelled(everything, order.total, OrderState.PLACED, NOW)
    assert (CANCELLED.state, CANCELLED.payment_state) == (OrderState.CANCELLED, PaymentState.UNPAID)
    assert (CANCELLED.total, CANCELLED.charged_freight, CANCELLED.freight) == (0, 0, 4_95)


def test_cancelling_pieces() -> None:
    order = after(paid(), cancel((1, 1)))
    assert [line.cancelled_quantity for line in order.lines] == [1, 0]
    assert (order.state, order.payment_state) == (OrderState.PAID, PaymentState.REFUND_DUE)
    assert order.amounts.refund_due == paid().total - order.total == 5_67 + 1_08 - (3_78 + 72)
    by_piece = after(order, cancel((1, 2)), cancel((2, 1)))
    assert (by_piece.state, by_piece.amounts.refund_due) == (OrderState.CANCELLED, paid().total)


def test_cancelling_pieces_may_make_what_was_paid_enough() -> None:
    order = after(placed(), pay(euros(placed().total - 11_30)))
    assert order.state is OrderState.PLACED
    assert after(order, cancel((2, 1))).state is OrderState.PAID


def test_cancelling_the_rest_of_a_shipped_order() -> None:
    part = after(paid(), ship((1, 2)))
    order = after(part, cancel())
    assert [line.cancelled_quantity for line in order.lines] == [1, 1]
    assert (order.state, order.charged_freight) == (OrderState.SHIPPED, 4_95)
    assert order.amounts.refund_due == paid().total - order.total > 0
    assert after(part, deliver(), cancel()).state is OrderState.DELIVERED


def test_holding_and_releasing() -> None:
    assert decide(placed(), HOLD, NOW).event == OrderHeld(NOW)
    assert decide(HELD, RELEASE, NOW).event == OrderReleased(NOW)
    assert (HELD.on_hold, HELD.version) == (True, 2)
    assert (after(HELD, RELEASE).on_hold, after(HELD, RELEASE, HOLD).version) == (False, 4)
    # A held order can be given up, and then released.
    assert not after(HELD, cancel(), RELEASE).on_hold
    assert after(paid(), ship((1, 1)), HOLD).on_hold


def test_revising() -> None:
    order = placed()
    line = new_line(sku="TOFU", unit_price=euros(8_00), quantity=2, discount_basis_points=0, tax_rate_basis_points=0)
    event = decide(order, revise(line, freight=euros(1_00), expected_total=euros(17_00)), NOW).event
    assert isinstance(event, OrderRevised)
    assert (event.previous_lines, event.previous_freight, event.previous_total) == (order.lines, 4_95, order.total)
    revised = after(order, revise(line))
    assert (revised.total, revised.freight) == (16_00 + 4_95, 4_95)
    assert after(order, revise(line, freight=euros(0))).freight == 0


def test_lines_keep_their_numbers() -> None:
    order = placed(lines=tuple(new_line(sku=sku) for sku in ("A", "B", "A")))
    revised = after(order, revise(*(new_line(sku=sku, quantity=q) for q, sku in enumerate("CAABA", start=1))))
    assert [(line.line_number, line.sku, line.quantity) for line in revised.lines] == [
        (1, "A", 2),
        (2, "B", 4),
        (3, "A", 3),
        (4, "C", 1),
        (5, "A", 5),
    ]
    assert [line.line_number for line in after(order, revise(new_line(sku="C"))).lines] == [4]


def test_a_line_that_gives_a_number_keeps_it() -> None:
    order = placed(lines=tuple(new_line(sku=sku) for sku in ("A", "B", "A")))
    asked = (("A", None), ("C", 1), ("A", None), ("B", 3), ("B", None), ("C", None))
    revised = after(order, revise(*(new_line(sku=sku, line_number=number) for sku, number in asked)))
    # Line 1 is a C now and line 3 a B, so no A is left to match: both A's are new, as is the second C.
    assert [(line.line_number, line.sku) for line in revised.lines] == [
        (1, "C"),
        (2, "B"),
        (3, "B"),
        (4, "A"),
        (5, "A"),
        (6, "C"),
    ]


def test_revising_down_to_what_was_paid() -> None:
    order = after(placed(), pay(euros(10_00)))
    line = new_line(unit_price=euros(5_05), quantity=1, discount_basis_points=0, tax_rate_basis_points=0)
    revised = after(order, revise(line))
    assert (revised.total, revised.state) == (10_00, OrderState.PAID)


def test_revising_after_pieces_were_cancelled() -> None:
    revised = after(placed(), cancel((1, 1)), revise(new_line(quantity=5)))
    assert [(line.quantity, line.cancelled_quantity) for line in revised.lines] == [(5, 0)]


def test_moving() -> None:
    order = placed()
    event = decide(order, move_to("FR"), NOW).event
    assert event == OrderShippingAddressChanged(Address("FR"), order.shipping_address, NOW)
    moved = after(paid(), HOLD, move_to("FR"))
    assert (moved.shipping_address, moved.billing_address) == (Address("FR"), order.billing_address)


def same_again(order: Order) -> ReviseOrder:
    """A revision to the lines and the freight that the order has."""
    lines = (
        NewLine(
            line.sku, line.product_name, Money(order.currency, line.unit_price), line.quantity,
            line.discount_basis_points, line.tax_rate_basis_points,
        )
        for line in order.lines
    )  # fmt: skip
    return revise(*lines, freight=euros(order.freight), expected_total=euros(order.total))


def test_asking_for_what_the_order_is_changes_nothing() -> None:
    order = placed()
    for command in (same_again(order), ChangeShippingAddress(order.order_id, order.shipping_address)):
        assert changes_nothing(order, decide(order, command, NOW + timedelta(days=1)))
    some_cancelled = after(order, cancel((1, 1)))
    changing: tuple[tuple[Order, OrderChange], ...] = (
        (order, replace(same_again(order), freight=euros(order.freight + 1), expected_total=None)),
        (order, ChangeShippingAddress(order.order_id, replace(order.shipping_address, recipients=("Bob",)))),
        (order, HOLD),
        (some_cancelled, replace(same_again(some_cancelled), expected_total=None)),
    )
    for state, change in changing:
        assert not changes_nothing(state, decide(state, change, NOW))


DEAR = new_line(unit_price=euros(MAX_AMOUNT), quantity=1, discount_basis_points=0, tax_rate_basis_points=0)
TEN_PAID = after(placed(), pay(euros(10_00)))
CHEAP = new_line(unit_price=euros(5_04), quantity=1, discount_basis_points=0, tax_rate_basis_points=0)
REFUNDED = after(paid(), cancel(), refund(euros(paid().total)))
REFUSED = {
    "cancelling twice": Refused(rules.ORDER_CANCELLED, CANCELLED, cancel(), {"state": "CANCELLED"}),
    "cancelling refunded": Refused(rules.ORDER_CANCELLED, REFUNDED, cancel(), {"state": "REFUNDED"}),
    "cancelling shipped": Refused(rules.OPEN_PIECES_ONLY, SHIPPED, cancel(), {"state": "SHIPPED"}),
    "cancelling what was shipped": Refused(
        rules.OPEN_PIECES_ONLY, after(paid(), ship((1, 2))), cancel((1, 2)), {"line_number": "1", "left": "1"}
    ),
    "cancelling another line": Refused(rules.LINE_UNKNOWN, placed(), cancel((7, 1)), {"line_number": "7"}),
    "cancelling a line twice": Refused(rules.LINE_NAMED_ONCE, placed(), cancel((1, 1), (1, 1))),
    "cancelling no piece": Refused(rules.QUANTITY_RANGE, placed(), cancel((1, 0))),
    "holding twice": Refused(rules.HOLD_ONCE, HELD, HOLD),
    "holding shipped": Refused(rules.HOLD_OPEN_ONLY, SHIPPED, HOLD, {"state": "SHIPPED"}),
    "holding cancelled": Refused(rules.HOLD_OPEN_ONLY, CANCELLED, HOLD, {"state": "CANCELLED"}),
    "releasing what is not held": Refused(rules.RELEASE_HELD_ONLY, placed(), RELEASE),
    "releasing twice": Refused(rules.RELEASE_HELD_ONLY, after(HELD, RELEASE), RELEASE),
    "revising paid": Refused(rules.REVISE_UNPAID_ONLY, paid(), revise(new_line()), {"state": "PAID"}),
    "revising shipped": Refused(rules.REVISE_UNSHIPPED_ONLY, SHIPPED, revise(new_line())),
    "revising unpaid, shipped in part": Refused(rules.REVISE_UNSHIPPED_ONLY, IMPORTED_PART, revise(new_line())),
    "revising cancelled": Refused(rules.ORDER_CANCELLED, CANCELLED, revise(new_line())),
    "revising to nothing": Refused(rules.LINE_COUNT, placed(), revise()),
    "revising into another currency": Refused(
        rules.ONE_CURRENCY, placed(), revise(new_line(unit_price=Money("USD", 1)))
    ),
    "revising into two currencies": Refused(
        rules.ONE_CURRENCY, placed(), revise(new_line(), new_line(unit_price=Money("USD", 1)))
    ),
    "revised freight in another currency": Refused(
        rules.ONE_CURRENCY, placed(), revise(new_line(), freight=Money("USD", 1))
    ),
    "revising another line": Refused(
        rules.LINE_UNKNOWN, placed(), revise(new_line(line_number=3)), {"line_number": "3"}
    ),
    "revising a line twice": Refused(
        rules.LINE_NAMED_ONCE, placed(), revise(*[new_line(line_number=2)] * 2), {"line_number": "2"}
    ),
    "revising to too much": Refused(rules.AMOUNT_TOO_LARGE, placed(), revise(DEAR)),
    "revising, another total expected": Refused(
        rules.EXPECTED_TOTAL, placed(), revise(CHEAP, expected_total=euros(1)), {"total": "9.99 EUR"}
    ),
    "revising below what was paid": Refused(
        rules.REVISE_NOT_BELOW_PAID, TEN_PAID, revise(CHEAP), {"paid": "10.00 EUR", "total": "9.99 EUR"}
    ),
    "moving shipped": Refused(rules.ADDRESS_UNTIL_SHIPPED, after(paid(), ship((1, 1))), move_to("FR")),
    "moving cancelled": Refused(rules.ORDER_CANCELLED, CANCELLED, move_to("FR")),
}


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
def test_refusals(refused: Refused) -> None:
    refused.check()
