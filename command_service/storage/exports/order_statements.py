"""Builds the statements that select orders for an export."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from command_service.application.exporting.ports import Head
from command_service.application.exporting.selections import OrderSelection
from command_service.domain.order import Order
from command_service.storage.connection.message_writer import Statement
from command_service.storage.connection.round_trip import Row
from command_service.storage.stored_orders import COLUMNS, order_of

_HEAD = "order_id, version, head_event_id, head_hash, recorded_at"
_HEAD_COLUMNS = 5


def heads_of(selection: OrderSelection, limit: int) -> Statement:
    """Returns the statement for the heads of selected orders."""
    return _selected(_HEAD, selection, limit)


def orders_of(selection: OrderSelection, limit: int) -> Statement:
    """Returns the statement for selected orders, each with its head."""
    return _selected(f"{_HEAD}, {COLUMNS}", selection, limit)


def head_of(row: Row) -> Head:
    """Returns the head from a row of either statement."""
    return Head(*row[:_HEAD_COLUMNS])


def order_with_head(row: Row) -> tuple[Head, Order]:
    """Returns an order and its head from a row of `orders_of`."""
    return head_of(row), order_of(row[_HEAD_COLUMNS:])


def _selected(columns: str, selection: OrderSelection, limit: int) -> Statement:
    conditions, values = [], []
    for place, (condition, value) in enumerate(_conditions(selection), start=2):
        conditions.append(condition.format(f"${place}"))
        values.append(value)
    found = " AND ".join(conditions)
    return f"SELECT {columns} FROM orders WHERE {found} ORDER BY order_id LIMIT $1", [limit, *values]  # noqa: S608


def _conditions(selection: OrderSelection) -> Iterator[tuple[str, Any]]:
    """Yields each condition, with `{}` for its value. There are few combinations, so few texts are prepared."""
    yield "order_id > {}::uuid", selection.after
    given: tuple[tuple[str, Any], ...] = (
        ("order_id <= {}::uuid", selection.until),
        ("partition = ANY({}::smallint[])", list(selection.partitions)),
        ("customer_id = {}::text", selection.customer_id),
        ("order_id = ANY({}::uuid[])", list[UUID](selection.order_ids)),
        ("recorded_at >= {}::timestamptz", selection.recorded_from),
        ("recorded_at < {}::timestamptz", selection.recorded_until),
    )
    for condition, value in given:
        if value:
            yield condition, value
