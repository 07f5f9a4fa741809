"""Describes a changed field of an order in words: its name, and its value before and after.

The contract names fields by path and gives values as ProtoJSON (see `FieldChange`). People get names, amounts and ids.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money
from google.type.postal_address_pb2 import PostalAddress
from tandem.orders.v1.order_query_service_pb2 import FieldChange
from tandem.orders.v1.order_types_pb2 import Customer, LineQuantity, Order, OrderLine, Payment, Refund, Return, Shipment

from devstack.cli.order_screens.order_words import address, amount, name_words, percent, pieces, time

_NONE = "–"
_ONE_OF = {
    "lines": "line", "payments": "payment", "shipments": "shipment", "returns": "return", "refunds": "refund",
    "items": "line", "labels": "label",
}  # fmt: skip


def change_words(change: FieldChange) -> str:
    """Returns `paid total: 0.00 EUR → 100.00 EUR`, `payment p-1: 100.00 EUR, card`, or `→ –` for what was removed."""
    name, field, whole = _named(Order.DESCRIPTOR, change.field) or (change.field, None, False)
    after = _value(field, change.new_value)
    if whole and not change.old_value:
        return f"{name}: {after}"
    return f"{name}: {_value(field, change.old_value)} → {after}"


def _named(message: Any, path: str) -> tuple[str, Any, bool] | None:
    """Returns words for the path, its last field, and whether a whole list element is meant; None if it is no path.

    An id may contain brackets and dots. Of all ways to read the path, the first one that the contract knows counts.
    """
    name = re.split(r"[\[.]", path, maxsplit=1)[0]
    rest = path[len(name) :]
    field = message.fields_by_name.get(name)
    if field is None:
        return None
    words = name.replace("_", " ")
    if not rest:
        return words.removesuffix(" basis points"), field, False
    if rest[0] == "." and field.message_type is not None:
        return _joined(words + " ", _named(field.message_type, rest[1:]))
    return _element(field, _ONE_OF.get(name, words), rest)


def _element(field: Any, kind: str, rest: str) -> tuple[str, Any, bool] | None:
    """Reads the part of a path from a list's bracket on, like `_named`; `kind` is the word for one element."""
    for bracket in re.finditer("]", rest):
        element, after = f"{kind} {rest[1 : bracket.start()]}", rest[bracket.end() :]
        if not after:
            return element, field, True
        if after[0] == "." and field.message_type is not None:
            named = _joined(f"{element}, ", _named(field.message_type, after[1:]))
            if named is not None:
                return named
    return None


def _joined(before: str, named: tuple[str, Any, bool] | None) -> tuple[str, Any, bool] | None:
    return None if named is None else (before + named[0], *named[1:])


def _value(field: Any, text: str) -> str:
    """Returns ProtoJSON of the field's type in words; unchanged if it has another form."""
    if not text:
        return _NONE
    try:
        value = json.loads(text)
        if field is None:
            return text
        if field.message_type is not None and not field.message_type.GetOptions().map_entry:
            words = _MESSAGES.get(field.message_type.full_name, _any)
            return words(ParseDict(value, GetMessageClass(field.message_type)(), ignore_unknown_fields=True)) or _NONE
    except (ValueError, ParseError):
        return text
    return _scalar(field, value)


def _scalar(field: Any, value: Any) -> str:
    """Returns a value of JSON in words, for a field that is no message."""
    if field.enum_type is not None:
        return name_words(field.enum_type, str(value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return percent(value) if field.name.endswith("_basis_points") else str(value)


def _comma(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _any(message: Message) -> str:
    """Returns the fields of a message that has no words of its own, separated by commas."""
    return _comma(*(f"{field.name.replace('_', ' ')} {value}" for field, value in message.ListFields()))


def _customer(customer: Customer) -> str:
    return _comma(customer.customer_id, customer.display_name, customer.email, customer.phone)


def _line(line: OrderLine) -> str:
    less = f"less {percent(line.discount_basis_points)}" if line.discount_basis_points else ""
    tax = f"tax {percent(line.tax_rate_basis_points)}" if line.tax_rate_basis_points else ""
    return _comma(f"{line.quantity} × {line.sku} {line.product_name} at {amount(line.unit_price)}", less, tax)


def _payment(payment: Payment) -> str:
    return _comma(amount(payment.amount), payment.method, payment.reference, time(payment.pay_time))


def _shipment(shipment: Shipment) -> str:
    delivered = f"delivered {time(shipment.deliver_time)}" if shipment.HasField("deliver_time") else ""
    sent = time(shipment.ship_time)
    return _comma(pieces(shipment.items), shipment.carrier, shipment.tracking_number, sent, delivered)


def _return(returned: Return) -> str:
    return _comma(pieces(returned.items), time(returned.return_time))


def _refund(refund: Refund) -> str:
    return _comma(amount(refund.amount), refund.reference, time(refund.refund_time))


_MESSAGES: Mapping[str, Callable[[Any], str]] = {
    Money.DESCRIPTOR.full_name: amount,
    Timestamp.DESCRIPTOR.full_name: time,
    PostalAddress.DESCRIPTOR.full_name: address,
    Customer.DESCRIPTOR.full_name: _customer,
    OrderLine.DESCRIPTOR.full_name: _line,
    Payment.DESCRIPTOR.full_name: _payment,
    Shipment.DESCRIPTOR.full_name: _shipment,
    Return.DESCRIPTOR.full_name: _return,
    Refund.DESCRIPTOR.full_name: _refund,
    LineQuantity.DESCRIPTOR.full_name: lambda item: str(item.quantity),
}
