"""A book of orders that holds every case a question can tell apart; the same in every run."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money
from google.type.postal_address_pb2 import PostalAddress
from tandem.orders.v1 import order_types_pb2 as types

from query_service.projection.currency import exponent_of, units_and_nanos
from query_service.projection.project import ProjectedEvent, project
from query_service.projection.stream_event import read_event
from tests.support.queries.order_events import published

ORDERS = 300
#: Customer, name, country and street.
CUSTOMERS = (
    ("KOENE", "Königlich Essen", "DE", "Maubelstr. 90"),
    ("LILAS", "LILA-Supermercado", "VE", "Carrera 52 con Ave. Bolívar #65-98"),
    ("FURIB", "Furia Bacalhau e Frutos do Mar", "PT", "Jardim das rosas n. 32"),
    ("BLONP", "Blondel père et fils", "FR", "24, place Kléber"),
    ("WOLZA", "Wolski Zajazd", "PL", "ul. Filtrowa 68, Łódź"),
    ("VAFFE", "Vaffeljernet Ærø", "DK", "Smagsløget 45"),
    ("TOKYO", "東京ストア", "JP", "千代田区 1-1"),
    ("NONAM", "", "", ""),
)
PRODUCTS = (
    ("CHEESE-11", "Queso Cabrales"),
    ("NOODLE-42", "Singaporean Hokkien Fried Mee"),
    ("TOFU-14", "Tofu"),
    ("ÄPFEL-51", "Manjimup Getrocknete Äpfel"),
    ("CAFÉ-43", "Ipoh Coffee"),
)
CURRENCIES = ("EUR", "EUR", "EUR", "USD", "JPY", "KWD")
SOURCES = ("webshop", "phone", "northwind", "")
STATES = types.OrderState.values()[1:]
#: Amounts so large that their sums are not exact in floating point.
LARGEST = 10**15 - 1
START = datetime(1996, 12, 20, tzinfo=UTC)


def order_book() -> list[ProjectedEvent]:
    """The events that leave the orders of the book behind."""
    events = []
    for order in _orders(random.Random(7)):
        message = published(order, event_id=str(uuid.UUID(int=uuid.UUID(order.order_id).int ^ 1)))
        events.append(project(read_event(message.headers, message.body)))
    return events


def _orders(chance: random.Random) -> Iterator[types.Order]:
    for number in range(ORDERS):
        currency = "VND" if number >= ORDERS - 12 else chance.choice(CURRENCIES)
        customer_id, name, region, street = CUSTOMERS[min(int(chance.expovariate(0.6)), len(CUSTOMERS) - 1)]
        # Some orders share their time, so that only their ids tell them apart.
        units = _money(100, currency)
        place_time = START + timedelta(hours=7 * (number - number % 3))
        lines = [_line(chance, line_number, currency) for line_number in range(1, chance.randint(1, 4) + 1)]
        net = sum(_minor(line.net_amount) for line in lines)
        tax = sum(_minor(line.tax_amount) for line in lines)
        freight = chance.choice((0, 0, 499, 1999))
        yield types.Order(
            order_id=str(uuid.UUID(int=chance.getrandbits(128))),
            order_number=f"SO-{10_000 + chance.randrange(90_000)}",
            version=chance.randint(1, 4),
            state=chance.choice(STATES),
            payment_state=chance.choice(types.PaymentState.values()[1:]),
            fulfillment_state=chance.choice(types.FulfillmentState.values()[1:]),
            on_hold=chance.random() < 0.2,
            source=chance.choice(SOURCES),
            customer=types.Customer(customer_id=customer_id, display_name=name),
            shipping_address=PostalAddress(region_code=region, address_lines=[street], recipients=[name]),
            lines=lines,
            currency_code=currency,
            freight=_money(freight, currency),
            net_total=_money(net, currency),
            tax_total=_money(tax, currency),
            total=_money(net + tax + freight, currency),
            paid_total=_money(net if number % 3 else 0, currency),
            refunded_total=_money(net // 5 if number % 6 == 1 else 0, currency),
            refund_due=_money(net // 7 if number % 9 == 1 else 0, currency),
            payments=[types.Payment(payment_id="P", amount=units, method="card", reference=f"ch_{number // 2:04}x")]
            if number % 5 == 0
            else [],
            shipments=[types.Shipment(shipment_id="S", tracking_number=_tracking_number(number))]
            if number % 7 == 0
            else [],
            refunds=[types.Refund(refund_id="R", amount=units, reference=f"re-{number:04}")]
            if number % 30 == 0
            else [],
            place_time=_time(place_time),
            labels=_labels(number),
            note="ring twice" if number % 10 == 0 else "",
            update_time=_time(place_time + timedelta(minutes=chance.randrange(100_000))),
        )


def _labels(number: int) -> dict[str, str]:
    """A third has an id of another system and a channel, a quarter a tier, and most have neither."""
    labels = (
        {"erp/id": f"EXT-{number:04}", "channel": ("web", "App", "a, b")[number // 3 % 3]} if number % 3 == 0 else {}
    )
    return labels | ({"tier": "gold" if number % 8 else ""} if number % 4 == 0 else {})


def _tracking_number(number: int) -> str:
    """Some are what is also the beginning of a word, in other writings."""
    return ("QUESO", "Que-so", f"1Z 999 {number:04} É")[number % 3]


def _line(chance: random.Random, line_number: int, currency: str) -> types.OrderLine:
    sku, name = chance.choice(PRODUCTS)
    quantity = chance.randint(1, 40)
    net = LARGEST - chance.randrange(50) if currency == "VND" else int(chance.lognormvariate(8, 1.5))
    return types.OrderLine(
        line_number=line_number,
        sku=sku,
        product_name=name,
        unit_price=_money(net // quantity, currency),
        quantity=quantity,
        returned_quantity=quantity // 3 if line_number == 2 else 0,
        discount_basis_points=333,
        tax_rate_basis_points=700,
        cancelled_quantity=chance.choice((0, 0, 0, quantity // 2)),
        net_amount=_money(net, currency),
        tax_amount=_money(net * 7 // 100, currency),
    )


def _money(minor: int, currency: str) -> Money:
    units, nanos = units_and_nanos(minor, currency)
    return Money(currency_code=currency, units=units, nanos=nanos)


def _minor(amount: Money) -> int:
    exponent = exponent_of(amount.currency_code)
    units: int = amount.units * 10**exponent
    return units + amount.nanos // int(10 ** (9 - exponent))


def _time(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
