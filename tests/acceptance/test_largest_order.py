"""The largest order that is accepted goes through the whole system, with more money and goods than an event lists."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from google.type.money_pb2 import Money
from google.type.postal_address_pb2 import PostalAddress
from tandem.orders.client import Session
from tandem.orders.v1 import order_command_service_pb2 as contract
from tandem.orders.v1.order_query_service_pb2 import (
    GetOrderHistoryRequest,
    GetOrderRequest,
    OrderFilter,
    SearchOrdersRequest,
)
from tandem.orders.v1.order_types_pb2 import Customer, LineQuantity, Order

from tests.fixtures.system import System
from tests.support.queries.asking import once_caught_up

LINES, SHIPMENTS, PAYMENTS = 500, 9, 5
CUSTOMER = f"largest-{uuid.uuid4()}"


def euros(units: int) -> Money:
    return Money(currency_code="EUR", units=units)


def texts(count: int) -> list[str]:
    return ["🍵" * 200] * count


def largest_order() -> contract.PlaceOrderRequest:
    """As many lines as an order may have, their names as long as they may be."""
    return contract.PlaceOrderRequest(
        request_id=str(uuid.uuid4()),
        customer=Customer(customer_id=CUSTOMER, display_name="🍵" * 200),
        shipping_address=PostalAddress(region_code="DE", address_lines=texts(10), recipients=texts(10)),
        lines=[
            contract.NewOrderLine(
                sku=f"{n:03}" + "🍵" * 61,
                product_name="🍵" * 200,
                quantity=100_000,
                unit_price=euros(100),
                discount_basis_points=1,
                tax_rate_basis_points=1_900,
            )
            for n in range(LINES)
        ],
    )


def afterwards(order: Order) -> Iterator[tuple[str, dict[str, Any]]]:
    """Commands by name, and what they say: everything that may have to be recorded of the order."""
    of_each = [LineQuantity(line_number=n, quantity=1) for n in range(1, LINES + 1)]

    def payment(units: int) -> tuple[str, dict[str, Any]]:
        return "RecordPayment", {"amount": euros(units), "method": "🍵" * 40, "reference": "🍵" * 200}

    yield payment(order.total.units + 1)
    yield from (("ShipOrder", {"shipment_id": f"s{n}", "items": of_each}) for n in range(SHIPMENTS))
    yield from (payment(1) for _ in range(PAYMENTS))
    yield "RecordDelivery", {"shipment_id": "s0"}
    yield "ReturnItems", {"items": of_each}
    yield "RefundOrder", {"amount": euros(1), "reference": "🍵" * 200}
    yield "HoldOrder", {"reason": "🍵" * 500}
    yield "ReleaseOrder", {"reason": "🍵" * 500}
    yield "CancelOrder", {"reason": "🍵" * 500}


async def test_what_happens_to_the_largest_order_is_recorded_and_read(system: System) -> None:
    placed = await system.commands.PlaceOrder(largest_order(), timeout=60)
    answer: Any = placed
    for command, fields in afterwards(placed.order):
        request_class = getattr(contract, f"{command}Request")
        request = request_class(request_id=str(uuid.uuid4()), order_id=answer.order.order_id, **fields)
        answer = await getattr(system.commands, command)(request, timeout=60)
    order = answer.order
    assert order.paid_total.units == placed.order.total.units + 1 + PAYMENTS
    assert len(order.payments) + order.omitted.payments == 1 + PAYMENTS
    assert len(order.shipments) + order.omitted.shipments == SHIPMENTS
    assert order.omitted.shipments > 0

    session = Session()
    session.wrote(answer)
    options = session.read_options()
    question = GetOrderRequest(order_id=order.order_id, read_options=options)
    assert (await once_caught_up(system.queries.GetOrder, question)).order == order
    listed = SearchOrdersRequest(filter=OrderFilter(customer_ids=[CUSTOMER]), read_options=options)
    assert list((await once_caught_up(system.queries.SearchOrders, listed)).orders) == [order]
    history = GetOrderHistoryRequest(order_id=order.order_id, page_size=3, read_options=options)
    entries = (await once_caught_up(system.queries.GetOrderHistory, history)).entries
    # The first shipment stands in its own event, whatever the order lists.
    assert [entry.event.order_shipped.shipment.shipment_id for entry in entries] == ["", "", "s0"]
