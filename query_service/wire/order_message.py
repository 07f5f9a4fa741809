"""Converts an order's document to the contract's `Order`. This is the exact inverse of the projection.

An order has many small messages. They are described as nested dictionaries and built in one call, because building each
message from Python takes twice the time. Empty lists are left out of the dictionaries.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money
from tandem.orders.v1 import order_types_pb2 as types

from query_service.projection.currency import exponent_of, units_and_nanos
from query_service.projection.order_document import (
    LineDocument,
    OrderDocument,
    PaymentDocument,
    RefundDocument,
    ReturnDocument,
    ShipmentDocument,
)

#: The fields of a message by name. The value of a nested message is again such a dictionary.
Fields = dict[str, Any]
_Money = Callable[[int | None], Fields | None]
_NANOS_PER_UNIT, _MICROSECONDS = 10**9, 1_000_000


class _Numbers(dict[str, int]):
    """Maps the name of each enum value, without prefix, to its number. An unknown name raises ValueError."""

    def __init__(self, enum: Any, prefix: str) -> None:
        super().__init__((name.removeprefix(prefix), number) for name, number in enum.items())
        self._prefix = prefix

    def __missing__(self, name: str) -> int:
        raise ValueError(f"the contract of this release has no {self._prefix}{name}")


_STATES = _Numbers(types.OrderState, "ORDER_STATE_")
_PAYMENT_STATES = _Numbers(types.PaymentState, "PAYMENT_STATE_")
_FULFILLMENT_STATES = _Numbers(types.FulfillmentState, "FULFILLMENT_STATE_")


def order_message(document: OrderDocument) -> types.Order:
    """Returns the message of a document. Raises ValueError for an enum value that this release does not know."""
    return types.Order(**order_fields(document))


def order_fields(document: OrderDocument) -> Fields:
    """Returns the fields of a document's message, for building it inside another message. Raises ValueError."""
    money = _money_in(document["currency_code"])
    fields: Fields = {
        "order_id": document["order_id"],
        "order_number": document["order_number"],
        "version": document["version"],
        "state": _STATES[document["state"]],
        "payment_state": _PAYMENT_STATES[document["payment_state"]],
        "fulfillment_state": _FULFILLMENT_STATES[document["fulfillment_state"]],
        "on_hold": document["on_hold"],
        "source": document["source"],
        "customer": document["customer"],
        "billing_address": document["billing_address"],
        "shipping_address": document["shipping_address"],
        "lines": [_line(line, money) for line in document["lines"]],
        "currency_code": document["currency_code"],
        "freight": money(document["freight"]),
        "net_total": money(document["net_total"]),
        "tax_total": money(document["tax_total"]),
        "total": money(document["total"]),
        "paid_total": money(document["paid_total"]),
        "refunded_total": money(document["refunded_total"]),
        "refund_due": money(document["refund_due"]),
        "place_time": _time(document["place_time"]),
        "update_time": _time(document["update_time"]),
        "redacted": document["redacted"],
    }
    if document["payments"]:
        fields["payments"] = [_payment(payment, money) for payment in document["payments"]]
    if document["shipments"]:
        fields["shipments"] = [_shipment(shipment) for shipment in document["shipments"]]
    if document["returns"]:
        fields["returns"] = [_return(returned) for returned in document["returns"]]
    if document["refunds"]:
        fields["refunds"] = [_refund(refund, money) for refund in document["refunds"]]
    if "omitted" in document:
        fields["omitted"] = document["omitted"]
    if "labels" in document:
        fields["labels"] = _labels(document)
    if "note" in document:
        fields["note"] = document["note"]
    return fields


def basic_message(document: OrderDocument) -> types.Order:
    """Returns the message of a document with what a row of a list shows. Raises ValueError; see `order_message`."""
    return types.Order(**basic_fields(document))


def basic_fields(document: OrderDocument) -> Fields:
    """Returns the fields of ORDER_VIEW_BASIC, for building its message inside another message. Raises ValueError."""
    money = _money_in(document["currency_code"])
    customer, shipping = document["customer"], document["shipping_address"]
    fields: Fields = {
        "order_id": document["order_id"],
        "order_number": document["order_number"],
        "version": document["version"],
        "state": _STATES[document["state"]],
        "payment_state": _PAYMENT_STATES[document["payment_state"]],
        "fulfillment_state": _FULFILLMENT_STATES[document["fulfillment_state"]],
        "on_hold": document["on_hold"],
        "source": document["source"],
        "customer": customer and {name: customer[name] for name in ("customer_id", "display_name")},
        "shipping_address": shipping and {name: shipping[name] for name in ("region_code", "locality")},
        "currency_code": document["currency_code"],
        "total": money(document["total"]),
        "refund_due": money(document["refund_due"]),
        "place_time": _time(document["place_time"]),
        "update_time": _time(document["update_time"]),
        "redacted": document["redacted"],
    }
    if "labels" in document:
        fields["labels"] = _labels(document)
    return fields


def _labels(document: OrderDocument) -> dict[str, str]:
    return {label["key"]: label["value"] for label in document["labels"]}


def money_message(amount: int | None, currency: str) -> Money | None:
    """Converts an amount in minor units to Money. Returns None for None."""
    if amount is None:
        return None
    units, nanos = units_and_nanos(amount, currency)
    return Money(currency_code=currency, units=units, nanos=nanos)


def time_message(microseconds: int | None) -> Timestamp | None:
    """Converts microseconds since 1970 to a Timestamp. Returns None for None."""
    if microseconds is None:
        return None
    seconds, rest = divmod(microseconds, _MICROSECONDS)
    return Timestamp(seconds=seconds, nanos=rest * 1000)


@lru_cache(maxsize=256)
def _money_in(currency: str) -> _Money:
    """Returns a function that converts minor units of this currency to the fields of Money; see `units_and_nanos`."""
    scale = 10 ** exponent_of(currency)
    nanos = _NANOS_PER_UNIT // scale
    nothing: Fields = {"currency_code": currency}

    def money(amount: int | None) -> Fields | None:
        if not amount:
            return None if amount is None else nothing
        units, minor = divmod(amount, scale) if amount >= 0 else _both_negative(amount, scale)
        return {"currency_code": currency, "units": units, "nanos": minor * nanos}

    return money


def _both_negative(amount: int, scale: int) -> tuple[int, int]:
    units, minor = divmod(-amount, scale)
    return -units, -minor


def _time(microseconds: int | None) -> Fields | None:
    if microseconds is None:
        return None
    seconds, rest = divmod(microseconds, _MICROSECONDS)
    return {"seconds": seconds, "nanos": rest * 1000}


def _line(line: LineDocument, money: _Money) -> Fields:
    return {
        "line_number": line["line_number"],
        "sku": line["sku"],
        "product_name": line["product_name"],
        "unit_price": money(line["unit_price"]),
        "quantity": line["quantity"],
        "discount_basis_points": line["discount_basis_points"],
        "tax_rate_basis_points": line["tax_rate_basis_points"],
        "net_amount": money(line["net_amount"]),
        "tax_amount": money(line["tax_amount"]),
        "cancelled_quantity": line["cancelled_quantity"],
        "shipped_quantity": line["shipped_quantity"],
        "delivered_quantity": line["delivered_quantity"],
        "returned_quantity": line["returned_quantity"],
    }


def _payment(payment: PaymentDocument, money: _Money) -> Fields:
    return {
        "payment_id": payment["payment_id"],
        "amount": money(payment["amount"]),
        "method": payment["method"],
        "reference": payment["reference"],
        "pay_time": _time(payment["pay_time"]),
    }


def _shipment(shipment: ShipmentDocument) -> Fields:
    return {
        "shipment_id": shipment["shipment_id"],
        "items": shipment["items"],
        "carrier": shipment["carrier"],
        "tracking_number": shipment["tracking_number"],
        "ship_time": _time(shipment["ship_time"]),
        "deliver_time": _time(shipment["deliver_time"]),
    }


def _return(returned: ReturnDocument) -> Fields:
    return {
        "return_id": returned["return_id"],
        "items": returned["items"],
        "return_time": _time(returned["return_time"]),
    }


def _refund(refund: RefundDocument, money: _Money) -> Fields:
    return {
        "refund_id": refund["refund_id"],
        "amount": money(refund["amount"]),
        "reference": refund["reference"],
        "refund_time": _time(refund["refund_time"]),
    }
