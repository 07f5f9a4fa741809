"""Reads an order from the tables. One statement locks the order's row, the next reads the whole order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from command_service.application.ports import StoredOrder
from command_service.domain.labels import Labels
from command_service.domain.line import OrderLine
from command_service.domain.movements import LineQuantity, Payment, Refund, Return, Shipment
from command_service.domain.order import Order
from command_service.domain.parties import ADDRESS_LISTS, ADDRESS_TEXTS, CONTACT_TEXTS, Address, Customer
from command_service.storage.connection.round_trip import Row

# NO KEY: foreign keys refer only to columns that never change, so inserts of rows that refer to the order need not
# wait for this lock.
LOCK = "SELECT version FROM orders WHERE order_id = $1 FOR NO KEY UPDATE"

_ADDRESS = (*ADDRESS_TEXTS, *ADDRESS_LISTS)
_OWN = (
    *("order_id", "order_number", "version", "source", "on_hold", "redacted", "currency_code", "freight"),
    *("placed_at", "updated_at", "head_hash", "recorded_at", "labels", "note"),
    *("customer_id", *(f"customer_{name}" for name in CONTACT_TEXTS)),
    *(f"{kind}_{name}" for kind in ("shipping", "billing") for name in _ADDRESS),
)
_LINE = tuple(field.name for field in fields(OrderLine))


def _list(values: str, table: str, sort: str) -> str:
    """Returns SQL for an order's rows in `table`, as one JSON list with a list of `values` per row."""
    return (
        f"(SELECT coalesce(json_agg(json_build_array({values}) ORDER BY {sort}), '[]') FROM {table}"  # noqa: S608
        f" WHERE {table}.order_id = orders.order_id)"
    )


def _items(table: str, key: str) -> str:
    return (
        f"(SELECT json_agg(json_build_array(line_number, quantity) ORDER BY line_number) FROM {table} AS item"  # noqa: S608
        f" WHERE item.order_id = orders.order_id AND item.{key} = {table.removesuffix('_lines')}s.{key})"
    )


_SHIPMENT = (
    f"shipment_id, {_items('shipment_lines', 'shipment_id')}, carrier, tracking_number, shipped_at, delivered_at"
)
_LISTS = {
    "lines": _list(", ".join(_LINE), "order_lines", "line_number"),
    "payments": _list("payment_id, amount, method, reference, paid_at", "payments", "ordinal"),
    "shipments": _list(_SHIPMENT, "shipments", "ordinal"),
    "returns": _list(f"return_id, {_items('return_lines', 'return_id')}, returned_at", "returns", "ordinal"),
    "refunds": _list("refund_id, amount, reference, refunded_at", "refunds", "ordinal"),
}
# The time of the next record: later than the previous record of the order, even if the clock was set back.
_NOW = "greatest(clock_timestamp(), recorded_at + interval '1 microsecond')"
#: The select list of an order's row in `orders`, from which `order_of` makes the order.
COLUMNS = ", ".join([*_OWN, *_LISTS.values()])
#: Sent after LOCK. A separate statement sees the changes of the transaction for which LOCK had to wait.
LOAD = f"SELECT {COLUMNS}, {_NOW} FROM orders WHERE order_id = $1"  # noqa: S608
_NAMES = (*_OWN, *_LISTS)
_HEAD_HASH = _NAMES.index("head_hash")


def stored_order(row: Row) -> StoredOrder:
    """Returns the order from a result row of LOAD."""
    *values, now = row
    return StoredOrder(order_of(values), values[_HEAD_HASH], now)


def order_of(row: Sequence[Any]) -> Order:
    """Returns the order from the values of COLUMNS."""
    values = dict(zip(_NAMES, row, strict=True))
    return Order(
        order_id=values["order_id"],
        order_number=values["order_number"],
        version=values["version"],
        source=values["source"],
        customer=Customer(values["customer_id"], **{name: values[f"customer_{name}"] for name in CONTACT_TEXTS}),
        shipping_address=_address("shipping", values),
        billing_address=_address("billing", values),
        currency=values["currency_code"],
        lines=tuple(OrderLine(*line) for line in values["lines"]),
        freight=values["freight"],
        placed_at=values["placed_at"],
        updated_at=values["updated_at"],
        payments=tuple(_payment(*payment) for payment in values["payments"]),
        shipments=tuple(_shipment(*shipment) for shipment in values["shipments"]),
        returns=tuple(Return(name, _quantities(items), _moment(at)) for name, items, at in values["returns"]),
        refunds=tuple(Refund(name, amount, said, _moment(at)) for name, amount, said, at in values["refunds"]),
        on_hold=values["on_hold"],
        redacted=values["redacted"],
        labels=Labels(values["labels"]),
        note=values["note"],
    )


def _address(kind: str, values: Mapping[str, Any]) -> Address:
    parts: dict[str, Any] = {name: values[f"{kind}_{name}"] for name in ADDRESS_TEXTS}
    lists: dict[str, Any] = {name: tuple(values[f"{kind}_{name}"]) for name in ADDRESS_LISTS}
    return Address(**parts, **lists)


def _payment(name: str, amount: int, method: str, reference: str, paid: str) -> Payment:
    return Payment(name, amount, method, reference, _moment(paid))


def _shipment(
    name: str, items: list[list[int]] | None, carrier: str, tracking: str, shipped: str, delivered: str | None
) -> Shipment:
    arrived = None if delivered is None else _moment(delivered)
    return Shipment(name, _quantities(items), carrier, tracking, _moment(shipped), arrived)


def _quantities(items: list[list[int]] | None) -> tuple[LineQuantity, ...]:
    return tuple(LineQuantity(*item) for item in items or ())


def _moment(text: str) -> datetime:
    """Parses a time as PostgreSQL writes it into JSON. It is in UTC, the time zone of the session."""
    return datetime.fromisoformat(text)
