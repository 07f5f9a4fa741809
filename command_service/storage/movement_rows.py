"""Builds the rows of payments, shipments, returns and refunds. `ordinal` counts them as recorded, from 1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Table

from command_service.domain.movements import Payment, Refund, Return, Shipment
from command_service.domain.order import Order
from command_service.storage.tables import payments, refunds, return_lines, returns, shipment_lines, shipments

Row = Mapping[str, Any]
_FIELDS = {kind: tuple(field.name for field in fields(kind)) for kind in (Payment, Shipment, Return, Refund)}


def new_movements(before: Order | None, after: Order) -> Iterator[tuple[Table, list[Row]]]:
    """Yields each table with the rows that `after` has and `before` lacks. Tables that others reference come first."""
    earlier = (before.payments, before.shipments, before.returns, before.refunds) if before else ((), (), (), ())
    yield payments, _rows(after, after.payments, len(earlier[0]))
    yield shipments, _rows(after, after.shipments, len(earlier[1]))
    yield shipment_lines, _line_rows(after, after.shipments[len(earlier[1]) :])
    yield returns, _rows(after, after.returns, len(earlier[2]))
    yield return_lines, _line_rows(after, after.returns[len(earlier[2]) :])
    yield refunds, _rows(after, after.refunds, len(earlier[3]))


def newly_delivered(before: Order, after: Order) -> list[Row]:
    """Returns the rows of the shipments that are delivered in `after` and were not in `before`."""
    pairs = zip(before.shipments, after.shipments, strict=False)
    return [{"order_id": after.order_id, **_columns(new)} for old, new in pairs if old.delivered_at != new.delivered_at]


def _rows(order: Order, movements: Sequence[Payment | Shipment | Return | Refund], recorded: int) -> list[Row]:
    return [
        {"order_id": order.order_id, "ordinal": ordinal, **_columns(movement)}
        for ordinal, movement in enumerate(movements[recorded:], start=recorded + 1)
    ]


def _columns(movement: Payment | Shipment | Return | Refund) -> Row:
    """Returns the fields of a movement by name. `asdict` would also copy each value deeply, which slows imports."""
    return {name: getattr(movement, name) for name in _FIELDS[type(movement)]}


def _line_rows(order: Order, movements: Sequence[Shipment | Return]) -> list[Row]:
    return [
        {"order_id": order.order_id, **_name(movement), "line_number": item.line_number, "quantity": item.quantity}
        for movement in movements
        for item in movement.items
    ]


def _name(movement: Shipment | Return) -> Row:
    if isinstance(movement, Shipment):
        return {"shipment_id": movement.shipment_id}
    return {"return_id": movement.return_id}
