"""Reads the Northwind sample company as import requests.

Amounts are US dollars. An order with a shipped date was paid `on_account` and shipped whole on that date. Ids are
derived from source and order number, so a second import repeats the first one's requests exactly.
"""

from __future__ import annotations

import csv
import uuid
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money
from google.type.postal_address_pb2 import PostalAddress
from tandem.orders.v1.order_command_service_pb2 import ImportOrdersRequest, NewOrderLine
from tandem.orders.v1.order_types_pb2 import Customer, LineQuantity, Payment, Shipment

SOURCE = "northwind"
CURRENCY = "USD"
FILES = ("customers.csv", "orders.csv", "order-details.csv", "products.csv", "shippers.csv")
REGION_CODES: Mapping[str, str] = {
    "Argentina": "AR",
    "Austria": "AT",
    "Belgium": "BE",
    "Brazil": "BR",
    "Canada": "CA",
    "Denmark": "DK",
    "Finland": "FI",
    "France": "FR",
    "Germany": "DE",
    "Ireland": "IE",
    "Italy": "IT",
    "Mexico": "MX",
    "Norway": "NO",
    "Poland": "PL",
    "Portugal": "PT",
    "Spain": "ES",
    "Sweden": "SE",
    "Switzerland": "CH",
    "UK": "GB",
    "USA": "US",
    "Venezuela": "VE",
}
_IDS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:tandem:import")
_CENT = Decimal("0.01")

Row = dict[str, str]


class BadSource(ValueError):  # noqa: N818 - reads as what it is
    """A file is missing, or a row of it cannot be read; the message names file, row and column."""


def import_id(kind: str, source: str, order_number: str) -> str:
    """Returns a UUID derived from the source and the order, so that repeated imports get the same one.

    `kind` is `request` for the id of the request, or `order` for the id of the order.
    """
    return str(uuid.uuid5(_IDS, f"{kind}/{source}/{order_number}"))


def read_northwind(directory: Path) -> list[ImportOrdersRequest]:
    """Reads one request per order, in the order of the file; raises BadSource."""
    customers, orders, details, products, shippers = (_rows(directory / name) for name in FILES)
    customer_by_id = {row["customerID"]: row for row in customers}
    product_names = {row["productID"]: row["productName"] for row in products}
    carriers = {row["shipperID"]: row["companyName"] for row in shippers}
    lines: dict[str, list[Row]] = defaultdict(list)
    for row in details:
        lines[row["orderID"]].append(row)
    return [
        _guarded(f"orders.csv, order {row['orderID']}", row, customer_by_id, lines, product_names, carriers)
        for row in orders
    ]


def _rows(path: Path) -> list[Row]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [
                {key: "" if value == "NULL" else value for key, value in row.items()} for row in csv.DictReader(file)
            ]
    except FileNotFoundError:
        raise BadSource(f"{path} is missing; a Northwind directory holds {', '.join(FILES)}") from None


def _guarded(
    where: str,
    row: Row,
    customers: Mapping[str, Row],
    lines: Mapping[str, list[Row]],
    products: Mapping[str, str],
    carriers: Mapping[str, str],
) -> ImportOrdersRequest:
    try:
        return _request(row, customers[row["customerID"]], lines[row["orderID"]], products, carriers)
    except KeyError as error:
        raise BadSource(f"{where}: {error.args[0]!r} is not known") from None
    except (ValueError, ArithmeticError) as error:
        raise BadSource(f"{where}: {error}") from None


def _request(
    row: Row, customer: Row, details: list[Row], products: Mapping[str, str], carriers: Mapping[str, str]
) -> ImportOrdersRequest:
    number = row["orderID"]
    freight = Decimal(row["freight"])
    total = sum((_net(detail) for detail in details), freight)
    request = ImportOrdersRequest(
        request_id=import_id("request", SOURCE, number),
        order_id=import_id("order", SOURCE, number),
        reason="import of the Northwind sample",
        source=SOURCE,
        order_number=number,
        customer=Customer(
            customer_id=customer["customerID"], display_name=customer["companyName"], phone=customer["phone"]
        ),
        billing_address=_address(
            customer["companyName"], customer["address"], customer["city"], customer["region"],
            customer["postalCode"], customer["country"],
        ),
        shipping_address=_address(
            row["shipName"], row["shipAddress"], row["shipCity"], row["shipRegion"],
            row["shipPostalCode"], row["shipCountry"],
        ),
        lines=[_line(detail, products) for detail in details],
        freight=_money(freight),
        expected_total=_money(total),
        place_time=_time(row["orderDate"]),
    )  # fmt: skip
    if row["shippedDate"]:
        shipped = _time(row["shippedDate"])
        request.payments.append(
            Payment(payment_id=f"{number}-1", amount=_money(total), method="on_account", pay_time=shipped)
        )
        request.shipments.append(
            Shipment(
                shipment_id=f"{number}-1",
                carrier=carriers[row["shipVia"]],
                ship_time=shipped,
                items=[
                    LineQuantity(line_number=line_number, quantity=int(detail["quantity"]))
                    for line_number, detail in enumerate(details, start=1)
                ],
            )
        )
    return request


def _line(detail: Row, products: Mapping[str, str]) -> NewOrderLine:
    return NewOrderLine(
        sku=detail["productID"],
        product_name=products[detail["productID"]],
        unit_price=_money(Decimal(detail["unitPrice"])),
        quantity=int(detail["quantity"]),
        discount_basis_points=int((Decimal(detail["discount"]) * 10_000).to_integral_exact()),
    )


def _net(detail: Row) -> Decimal:
    gross = Decimal(detail["unitPrice"]) * int(detail["quantity"])
    return (gross * (1 - Decimal(detail["discount"]))).quantize(_CENT, ROUND_HALF_EVEN)


def _money(amount: Decimal) -> Money:
    cents = int((amount / _CENT).to_integral_exact())
    return Money(currency_code=CURRENCY, units=cents // 100, nanos=cents % 100 * 10_000_000)


def _address(name: str, street: str, city: str, region: str, postal_code: str, country: str) -> PostalAddress:
    return PostalAddress(
        recipients=[name],
        address_lines=[street],
        locality=city,
        administrative_area=region,
        postal_code=postal_code,
        region_code=REGION_CODES[country],
    )


def _time(text: str) -> Timestamp:
    time = Timestamp()
    time.FromDatetime(datetime.fromisoformat(text).replace(tzinfo=UTC))
    return time
