"""Writes values of the contract in words: amounts, times, states, addresses, pieces."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money
from google.type.postal_address_pb2 import PostalAddress
from tandem.orders.v1.order_types_pb2 import FulfillmentState, LineQuantity, Order, OrderState, PaymentState

from query_service.projection.currency import NANOS_PER_UNIT, exponent_of


def amount(value: Money) -> str:
    """`1,234.50 EUR`, `300 JPY`, `0.000 KWD`: as many decimals as the currency has, more when they are there."""
    exact = Decimal(value.units) + Decimal(value.nanos) / NANOS_PER_UNIT
    whole, _, fraction = f"{exact:,.9f}".partition(".")
    fraction = fraction.rstrip("0").ljust(exponent_of(value.currency_code), "0")
    return f"{whole}{'.' if fraction else ''}{fraction} {value.currency_code}".strip()


def time(value: Timestamp) -> str:
    """`2026-11-27 08:15:00 UTC`; empty when there is none."""
    if value == Timestamp():
        return ""
    return f"{value.ToJsonString()[:19].replace('T', ' ')} UTC"


def day(value: Timestamp) -> str:
    """`2026-11-27`; empty when there is none."""
    return time(value)[:10]


def enum_words(enum: Any, value: int) -> str:
    """Returns an enum value's name as words: ORDER_STATE_PLACED is `placed`; an unknown number stays a number."""
    descriptor = enum.DESCRIPTOR.values_by_number.get(value)
    return name_words(enum.DESCRIPTOR, descriptor.name) if descriptor is not None else str(value)


def name_words(descriptor: Any, name: str) -> str:
    """Returns the name of an enum's value as words, without the prefix that all names of the enum share."""
    prefix = descriptor.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return name.removeprefix(prefix).lower().replace("_", " ")


def order_state(order: Order) -> str:
    """`placed`, or `placed, on hold`."""
    state = enum_words(OrderState, order.state)
    return f"{state}, on hold" if order.on_hold else state


def states(order: Order) -> str:
    """Returns the states of the order, its money and its goods, in one line."""
    money, goods = (
        enum_words(PaymentState, order.payment_state),
        enum_words(FulfillmentState, order.fulfillment_state),
    )
    return f"{order_state(order)}; payment {money}; fulfillment {goods}"


def address(value: PostalAddress) -> str:
    """Returns an address in one line, from the recipient to the country."""
    place = " ".join(part for part in (value.postal_code, value.locality) if part)
    parts = (
        *value.recipients, value.organization, *value.address_lines, value.sublocality, place,
        value.administrative_area, value.region_code,
    )  # fmt: skip
    return ", ".join(part for part in parts if part)


def label_words(key: str, value: str) -> str:
    """`erp/id=4711`; a value with a space or comma stands in quotes."""
    return f'{key}="{value}"' if set(value) & {" ", ","} else f"{key}={value}"


def pieces(items: Iterable[LineQuantity]) -> str:
    """`4 of line 1, 2 of line 3`."""
    return ", ".join(f"{item.quantity} of line {item.line_number}" for item in items)


def percent(basis_points: int) -> str:
    """`19 %`, `2.5 %`."""
    return f"{Decimal(basis_points) / 100:f} %"
