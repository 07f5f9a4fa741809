"""Realistic answers, for tests of the screens."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money
from google.type.postal_address_pb2 import PostalAddress
from tandem.orders.v1 import order_query_service_pb2 as q
from tandem.orders.v1 import order_types_pb2 as t

ORDER_ID = "b11dd591-84f8-4c1e-9d3a-0f6f5a1c2e77"
ORDER_NUMBER = "5W31R-1X10E-SSG7M"
PAYMENT_ID = "f82970af-0d58-4d2c-8b11-7e5d1c1f3a10"
SHIPMENT_ID = "0d4b9f0e-3f2a-4f5e-a7a3-55f1e6c0b9aa"


def money(units: int, nanos: int = 0, currency: str = "EUR") -> Money:
    return Money(currency_code=currency, units=units, nanos=nanos)


def at(hour: int) -> Timestamp:
    return Timestamp(seconds=1_795_766_400 + hour * 3600)


def partly_paid_and_shipped() -> t.Order:
    """10 x 18.00 and 2 x 5.00, 19 % tax on the first, 4.95 freight; 100.00 paid, 4 pieces shipped, 3 cancelled."""
    address = PostalAddress(
        recipients=["Alfreds Futterkiste"], address_lines=["Obere Straße 57"], postal_code="12209", locality="Berlin",
        region_code="DE",
    )  # fmt: skip
    return t.Order(
        order_id=ORDER_ID,
        order_number=ORDER_NUMBER,
        version=5,
        state=t.ORDER_STATE_PLACED,
        payment_state=t.PAYMENT_STATE_PARTIALLY_PAID,
        fulfillment_state=t.FULFILLMENT_STATE_PARTIALLY_SHIPPED,
        on_hold=True,
        source="web",
        customer=t.Customer(customer_id="ALFKI", display_name="Alfreds Futterkiste", email="maria@example.org"),
        shipping_address=address,
        billing_address=address,
        currency_code="EUR",
        lines=[
            t.OrderLine(
                line_number=1, sku="CHAI-ORGANIC-LOOSE-250G", product_name="Chai: organic, loose leaf, in a tin",
                quantity=10, shipped_quantity=4, cancelled_quantity=3, unit_price=money(18), net_amount=money(126),
                tax_rate_basis_points=1900, discount_basis_points=0, tax_amount=money(23, 940_000_000),
            ),
            t.OrderLine(
                line_number=2, sku="TOFU", product_name="Tofu", quantity=2, unit_price=money(5), net_amount=money(10)
            ),
        ],
        freight=money(4, 950_000_000),
        net_total=money(136),
        tax_total=money(23, 940_000_000),
        total=money(164, 890_000_000),
        paid_total=money(100),
        payments=[
            t.Payment(
                payment_id=PAYMENT_ID, amount=money(100), method="card", reference="ch_3NqK2eLkdIwHu7ix", pay_time=at(1)
            )
        ],
        shipments=[
            t.Shipment(
                shipment_id=SHIPMENT_ID, items=[t.LineQuantity(line_number=1, quantity=4)], carrier="Deutsche Post",
                tracking_number="00340434161094015902", ship_time=at(2),
            )
        ],
        place_time=at(0),
        update_time=at(2),
    )  # fmt: skip


def read_info() -> q.ReadInfo:
    return q.ReadInfo(as_of=at(3))


def found() -> q.SearchOrdersResponse:
    return q.SearchOrdersResponse(orders=[partly_paid_and_shipped()] * 3, total_size=1234, read_info=read_info())


def summed() -> q.OrderSummary:
    return q.OrderSummary(
        keys=["PLACED"], currency_code="EUR", orders=1_234, quantity=56_789, net_total=money(1_234_567),
        tax_total=money(234_567, 890_000_000), freight=money(4_321), total=money(1_473_455, 890_000_000),
        average_total=money(1_194, 40_000_000), percentiles=[q.Percentile(percentile=99.9, total=money(9_999))],
    )  # fmt: skip


def summary() -> q.SummarizeOrdersResponse:
    return q.SummarizeOrdersResponse(groups=[summed()], totals=[summed()], read_info=read_info())


def customer() -> q.GetCustomerSummaryResponse:
    return q.GetCustomerSummaryResponse(
        customer=partly_paid_and_shipped().customer, totals=[summed()], orders=1_234, cancelled_orders=5,
        first_place_time=at(0), last_place_time=at(2), recent_orders=[partly_paid_and_shipped()], read_info=read_info(),
        money=[q.CustomerMoney(currency_code="EUR", paid=money(7_654_321), returned=money(3))],
    )  # fmt: skip


def payments() -> q.SummarizePaymentsResponse:
    moved = q.PaymentSummary(
        keys=["2026-05", "transfer"], currency_code="EUR", payments=1_234, paid=money(1_234_567), refunds=56,
        refunded=money(4_321), balance=money(1_230_246),
    )  # fmt: skip
    return q.SummarizePaymentsResponse(groups=[moved], totals=[moved], read_info=read_info())
