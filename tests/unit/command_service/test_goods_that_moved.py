"""ShipOrder, RecordDelivery and ReturnItems: pieces leave, arrive and come back, each at most once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from command_service.domain import rules
from command_service.domain.decisions import decide
from command_service.domain.events import OrderDelivered, OrderReturned, OrderShipped
from command_service.domain.movements import LineQuantity, Return, Shipment
from command_service.domain.order import Order
from command_service.domain.rules import CLOCK_TOLERANCE
from command_service.domain.states import FulfillmentState, OrderState
from tests.support.commands.domain_orders import (
    HOLD,
    NOW,
    RELEASE,
    after,
    cancel,
    deliver,
    euros,
    new_line,
    paid,
    pay,
    placed,
    ship,
    take_back,
)
from tests.support.commands.refusals import Refused

EARLIER, LATER = NOW - timedelta(days=1), NOW + timedelta(days=1)
AHEAD = NOW + CLOCK_TOLERANCE + timedelta(microseconds=1)
ALL = (LineQuantity(1, 3), LineQuantity(2, 1))
SHIPPED = after(paid(), ship())
PART = after(paid(), ship((1, 2)))
DELIVERED = after(SHIPPED, deliver())


def pieces(order: Order) -> list[tuple[int, int, int, int]]:
    return [
        (line.cancelled_quantity, line.shipped_quantity, line.delivered_quantity, line.returned_quantity)
        for line in order.lines
    ]


def test_the_shipment_it_records() -> None:
    command = ship((2, 1), (1, 2), carrier="DHL", tracking_number="T", shipped_at=EARLIER)
    event = decide(paid(), command, NOW).event
    shipment = Shipment("S1", (LineQuantity(1, 2), LineQuantity(2, 1)), "DHL", "T", EARLIER)
    assert event == OrderShipped(shipment, previous_state=OrderState.PAID)
    assert event.occurred_at == EARLIER
    order = after(paid(), command)
    assert order.shipments == (shipment,)
    assert pieces(order) == [(0, 2, 0, 0), (0, 1, 0, 0)]
    assert (order.state, order.fulfillment_state) == (OrderState.PAID, FulfillmentState.PARTIALLY_SHIPPED)


def test_no_items_are_all_that_is_left() -> None:
    assert SHIPPED.shipments[0].items == ALL
    assert (SHIPPED.state, SHIPPED.fulfillment_state) == (OrderState.SHIPPED, FulfillmentState.SHIPPED)
    rest = after(PART, ship(shipment_id="S2"))
    assert rest.shipments[1].items == (LineQuantity(1, 1), LineQuantity(2, 1))
    assert rest.state is OrderState.SHIPPED
    without_cancelled = after(paid(), cancel((1, 1)), ship())
    assert without_cancelled.shipments[0].items == (LineQuantity(1, 2), LineQuantity(2, 1))
    assert without_cancelled.state is OrderState.SHIPPED


def test_an_order_that_costs_nothing_is_shipped_without_payment() -> None:
    free = placed(lines=(new_line(unit_price=euros(0)),), freight=None)
    assert after(free, ship()).state is OrderState.SHIPPED


def test_a_released_order_is_shipped() -> None:
    assert after(paid(), HOLD, RELEASE, ship()).state is OrderState.SHIPPED


def test_the_delivery_it_records() -> None:
    event = decide(SHIPPED, deliver(delivered_at=NOW), LATER).event
    assert event == OrderDelivered("S1", previous_state=OrderState.SHIPPED, occurred_at=NOW)
    assert DELIVERED.shipments[0].delivered_at == NOW
    assert pieces(DELIVERED) == [(0, 3, 3, 0), (0, 1, 1, 0)]
    assert (DELIVERED.state, DELIVERED.fulfillment_state) == (OrderState.DELIVERED, FulfillmentState.DELIVERED)


def test_each_shipment_arrives_on_its_own() -> None:
    both = after(PART, ship(shipment_id="S2"))
    second = after(both, deliver("S2"))
    assert [shipment.delivered_at for shipment in second.shipments] == [None, NOW]
    assert (second.state, second.fulfillment_state) == (OrderState.SHIPPED, FulfillmentState.PARTIALLY_DELIVERED)
    assert after(second, deliver("S1")).state is OrderState.DELIVERED
    # What was cancelled is not waited for.
    assert after(PART, cancel(), deliver("S1")).state is OrderState.DELIVERED
    # A held order's shipments arrive all the same.
    assert after(PART, HOLD, deliver("S1")).fulfillment_state is FulfillmentState.PARTIALLY_DELIVERED


def test_a_delivery_without_a_time_is_not_before_the_shipment() -> None:
    ahead = NOW + timedelta(minutes=4)
    order = after(paid(), ship(shipped_at=ahead), deliver())
    assert order.shipments[0].delivered_at == ahead


def test_the_return_it_records() -> None:
    event = decide(DELIVERED, take_back((1, 2), returned_at=NOW), LATER).event
    returned = Return("R1", (LineQuantity(1, 2),), NOW)
    assert event == OrderReturned(returned, previous_state=OrderState.DELIVERED)
    part = after(DELIVERED, take_back((1, 2)))
    assert (part.returns, pieces(part)) == ((returned,), [(0, 3, 3, 2), (0, 1, 1, 0)])
    assert (part.state, part.fulfillment_state) == (OrderState.DELIVERED, FulfillmentState.PARTIALLY_RETURNED)
    whole = after(part, take_back((1, 1), (2, 1), return_id="R2"))
    assert (whole.state, whole.fulfillment_state) == (OrderState.RETURNED, FulfillmentState.RETURNED)


def test_what_arrived_may_come_back_before_the_rest_is_shipped() -> None:
    order = after(PART, deliver(), take_back((1, 2)), ship(shipment_id="S2"))
    assert (order.state, order.fulfillment_state) == (OrderState.SHIPPED, FulfillmentState.PARTIALLY_RETURNED)


UNPAID_PART = after(placed(), pay(euros(placed().total - 1)))
REFUSED = {
    "shipping unpaid": Refused(rules.SHIP_PAID_ONLY, placed(), ship(), {"state": "PLACED"}),
    "shipping a cent before it is paid": Refused(rules.SHIP_PAID_ONLY, UNPAID_PART, ship()),
    "shipping while held": Refused(rules.SHIP_NOT_ON_HOLD, after(paid(), HOLD), ship()),
    "shipping cancelled": Refused(rules.ORDER_CANCELLED, after(paid(), cancel()), ship(), {"state": "CANCELLED"}),
    "shipping twice": Refused(rules.OPEN_PIECES_ONLY, SHIPPED, ship(shipment_id="S2"), {"state": "SHIPPED"}),
    "shipping a piece too many": Refused(
        rules.OPEN_PIECES_ONLY, PART, ship((1, 2), shipment_id="S2"), {"line_number": "1", "left": "1"}
    ),
    "shipping what was cancelled": Refused(
        rules.OPEN_PIECES_ONLY, after(paid(), cancel((1, 2))), ship((1, 2)), {"left": "1"}
    ),
    "shipping another line": Refused(rules.LINE_UNKNOWN, paid(), ship((3, 1)), {"line_number": "3"}),
    "shipping a line twice": Refused(rules.LINE_NAMED_ONCE, paid(), ship((1, 1), (1, 1)), {"line_number": "1"}),
    "shipping no piece": Refused(rules.QUANTITY_RANGE, paid(), ship((1, 0))),
    "shipping fewer than none": Refused(rules.QUANTITY_RANGE, paid(), ship((1, -1))),
    "another shipment with its id": Refused(rules.MOVEMENT_ID_TAKEN, PART, ship((1, 1)), {"shipment_id": "S1"}),
    "shipping in the future": Refused(rules.TIME_IN_FUTURE, paid(), ship(shipped_at=AHEAD)),
    "delivery of another shipment": Refused(rules.SHIPMENT_UNKNOWN, SHIPPED, deliver("S2"), {"shipment_id": "S2"}),
    "delivery before shipment": Refused(rules.SHIPMENT_UNKNOWN, paid(), deliver()),
    "delivery twice": Refused(rules.DELIVERED_ONCE, DELIVERED, deliver(), {"shipment_id": "S1"}),
    "delivery earlier than shipment": Refused(rules.TIME_ORDER, SHIPPED, deliver(delivered_at=EARLIER)),
    "delivery in the future": Refused(rules.TIME_IN_FUTURE, SHIPPED, deliver(delivered_at=AHEAD)),
    "return before delivery": Refused(rules.RETURN_DELIVERED_ONLY, SHIPPED, take_back((1, 1)), {"state": "SHIPPED"}),
    "return of nothing": Refused(rules.RETURN_DELIVERED_ONLY, DELIVERED, take_back()),
    "return of a piece too many": Refused(
        rules.RETURN_DELIVERED_ONLY, after(DELIVERED, take_back((1, 2))), take_back((1, 2), return_id="R2")
    ),
    "return twice": Refused(
        rules.RETURN_DELIVERED_ONLY, after(DELIVERED, take_back((1, 3), (2, 1))), take_back((1, 1), return_id="R2")
    ),
    "return of another line": Refused(rules.LINE_UNKNOWN, DELIVERED, take_back((3, 1))),
    "return of a line twice": Refused(rules.LINE_NAMED_ONCE, DELIVERED, take_back((1, 1), (1, 1))),
    "another return with its id": Refused(
        rules.MOVEMENT_ID_TAKEN, after(DELIVERED, take_back((1, 1))), take_back((1, 1)), {"return_id": "R1"}
    ),
    "return earlier than delivery": Refused(rules.TIME_ORDER, DELIVERED, take_back((1, 1), returned_at=EARLIER)),
    "return in the future": Refused(rules.TIME_IN_FUTURE, DELIVERED, take_back((1, 1), returned_at=AHEAD)),
}


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
def test_refusals(refused: Refused) -> None:
    refused.check()


def test_pieces_are_conserved_when_lines_move() -> None:
    order = after(paid(), ship((1, 1)), cancel((1, 1)), ship((1, 1), shipment_id="S2"), deliver("S2"))
    assert pieces(order) == [(1, 2, 1, 0), (0, 0, 0, 0)]
    assert replace(order.lines[0], quantity=3).open_quantity == 0
