"""ImportOrder: an order with its history, exempt from what may follow what, not from amounts and quantities."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from command_service.domain import rules
from command_service.domain.commands import ImportedPayment, ImportOrder
from command_service.domain.decisions import decide_new
from command_service.domain.events import OrderImported
from command_service.domain.money import MAX_AMOUNT, Money
from command_service.domain.movements import LineQuantity, Shipment
from command_service.domain.rules import CLOCK_TOLERANCE
from command_service.domain.states import FulfillmentState, OrderState, PaymentState
from tests.support.commands.domain_orders import (
    NOW,
    RELEASE,
    after,
    euros,
    new_line,
    pay,
    place_order,
    placed,
)
from tests.support.commands.refusals import Refused

PLACED = datetime(1996, 7, 4, tzinfo=UTC)
SHIPPED, ARRIVED = PLACED + timedelta(days=12), PLACED + timedelta(days=15)
AHEAD = NOW + CLOCK_TOLERANCE + timedelta(microseconds=1)
TOTAL = placed().total


def payment(amount: int = TOTAL, payment_id: str = "P1", **changes: Any) -> ImportedPayment:
    return replace(ImportedPayment(payment_id, euros(amount), "on_account", "", SHIPPED), **changes)


def shipment(*items: tuple[int, int], shipment_id: str = "S1", **changes: Any) -> Shipment:
    pieces = tuple(LineQuantity(*item) for item in items or ((1, 3), (2, 1)))
    return replace(Shipment(shipment_id, pieces, "Speedy", "", SHIPPED), **changes)


def command(**changes: Any) -> ImportOrder:
    return replace(ImportOrder(place_order(order_number="10248"), PLACED, (payment(),), (shipment(),)), **changes)


def test_the_order_it_makes() -> None:
    event = decide_new(command(), NOW).event
    assert isinstance(event, OrderImported)
    assert event.occurred_at == PLACED
    order = after(None, command())
    assert (order.version, order.order_number, order.placed_at) == (1, "10248", PLACED)
    assert (order.state, order.payment_state) == (OrderState.SHIPPED, PaymentState.PAID)
    assert order.updated_at == SHIPPED
    assert order.shipments == (shipment(),)
    assert [each.paid_at for each in order.payments] == [SHIPPED]
    assert [line.shipped_quantity for line in order.lines] == [3, 1]


def test_what_arrived() -> None:
    part = shipment((1, 2), delivered_at=ARRIVED)
    order = after(None, command(shipments=(part, shipment((1, 1), (2, 1), shipment_id="S2"))))
    assert [(line.shipped_quantity, line.delivered_quantity) for line in order.lines] == [(3, 2), (1, 0)]
    assert (order.fulfillment_state, order.updated_at) == (FulfillmentState.PARTIALLY_DELIVERED, ARRIVED)


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"payments": (), "shipments": ()}, OrderState.PLACED),
        ({"shipments": ()}, OrderState.PAID),
        ({"payments": ()}, OrderState.SHIPPED),  # shipped and not paid: nothing of ours would do that
        ({"payments": (), "shipments": (shipment((1, 1)),)}, OrderState.PLACED),
        ({"payments": (), "shipments": (shipment(delivered_at=ARRIVED),)}, OrderState.DELIVERED),
        ({"payments": (payment(TOTAL + 1),), "on_hold": True}, OrderState.SHIPPED),
    ],
)
def test_no_transition_is_judged(changes: dict[str, Any], state: OrderState) -> None:
    order = after(None, command(**changes))
    assert (order.state, order.version) == (state, 1)
    assert order.on_hold == ("on_hold" in changes)


def test_an_imported_order_lives_on() -> None:
    order = after(None, command(payments=(), shipments=(), on_hold=True), RELEASE, pay(euros(TOTAL)))
    assert (order.version, order.state, order.updated_at) == (3, OrderState.PAID, NOW)


def test_times_of_another_system_may_contradict_each_other() -> None:
    order = after(None, command(shipments=(shipment(delivered_at=SHIPPED - timedelta(days=1)),)))
    assert order.state is OrderState.DELIVERED


REFUSED = {
    "bad line": Refused(rules.QUANTITY_RANGE, None, command(order=place_order(lines=(new_line(quantity=0),)))),
    "another total": Refused(rules.EXPECTED_TOTAL, None, command(order=place_order(expected_total=euros(1)))),
    "placed in the future": Refused(rules.TIME_IN_FUTURE, None, command(placed_at=AHEAD)),
    "payment in another currency": Refused(
        rules.ONE_CURRENCY, None, command(payments=(payment(1), replace(payment(1, "P2"), amount=Money("USD", 1))))
    ),
    "payment of nothing": Refused(rules.AMOUNT_POSITIVE, None, command(payments=(payment(0),))),
    "payments too large together": Refused(
        rules.AMOUNT_TOO_LARGE, None, command(payments=(payment(MAX_AMOUNT), payment(1, "P2")))
    ),
    "payment id twice": Refused(
        rules.MOVEMENT_ID_TAKEN, None, command(payments=(payment(1), payment(2))), {"payment_id": "P1"}
    ),
    "paid before it was placed": Refused(
        rules.TIME_ORDER, None, command(payments=(payment(paid_at=PLACED - timedelta(microseconds=1)),))
    ),
    "paid in the future": Refused(rules.TIME_IN_FUTURE, None, command(payments=(payment(paid_at=AHEAD),))),
    "shipment id twice": Refused(
        rules.MOVEMENT_ID_TAKEN, None, command(shipments=(shipment((1, 1)), shipment((1, 1)))), {"shipment_id": "S1"}
    ),
    "another line": Refused(rules.LINE_UNKNOWN, None, command(shipments=(shipment((3, 1)),)), {"line_number": "3"}),
    "a line twice": Refused(rules.LINE_NAMED_ONCE, None, command(shipments=(shipment((1, 1), (1, 1)),))),
    "a piece too many": Refused(rules.OPEN_PIECES_ONLY, None, command(shipments=(shipment((1, 4)),))),
    "a piece too many in two shipments": Refused(
        rules.OPEN_PIECES_ONLY, None, command(shipments=(shipment((1, 2)), shipment((1, 2), shipment_id="S2"))),
        {"line_number": "1", "left": "1"},
    ),
    "shipped in the future": Refused(rules.TIME_IN_FUTURE, None, command(shipments=(shipment(shipped_at=AHEAD),))),
    "arrived in the future": Refused(rules.TIME_IN_FUTURE, None, command(shipments=(shipment(delivered_at=AHEAD),))),
}  # fmt: skip


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
def test_refusals(refused: Refused) -> None:
    refused.check()
