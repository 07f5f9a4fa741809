"""Declares the tables of payments, shipments, returns and refunds. `ordinal` counts them as recorded, from 1."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)

from command_service.domain.money import MAX_AMOUNT
from command_service.storage.tables.metadata import amount, check, metadata, moment, pieces, required, text_column
from command_service.storage.tables.orders import order_lines, orders


def _order_id() -> Column[object]:
    return Column("order_id", Uuid, ForeignKey(orders.c.order_id), nullable=False)


payments = Table(
    "payments",
    metadata,
    _order_id(),
    required("payment_id", Text),
    required("ordinal", Integer),
    amount("amount"),
    text_column("method"),
    text_column("reference"),
    moment("paid_at"),
    PrimaryKeyConstraint("order_id", "payment_id"),
    UniqueConstraint("order_id", "ordinal"),
    check("amount", f"amount BETWEEN 1 AND {MAX_AMOUNT}"),
)

shipments = Table(
    "shipments",
    metadata,
    _order_id(),
    required("shipment_id", Text),
    required("ordinal", Integer),
    text_column("carrier"),
    text_column("tracking_number"),
    moment("shipped_at"),
    moment("delivered_at", nullable=True),
    PrimaryKeyConstraint("order_id", "shipment_id"),
    UniqueConstraint("order_id", "ordinal"),
)

shipment_lines = Table(
    "shipment_lines",
    metadata,
    required("order_id", Uuid),
    required("shipment_id", Text),
    required("line_number", Integer),
    pieces("quantity"),
    PrimaryKeyConstraint("order_id", "shipment_id", "line_number"),
    ForeignKeyConstraint(["order_id", "shipment_id"], [shipments.c.order_id, shipments.c.shipment_id]),
    ForeignKeyConstraint(["order_id", "line_number"], [order_lines.c.order_id, order_lines.c.line_number]),
    check("quantity", "quantity >= 1"),
)

returns = Table(
    "returns",
    metadata,
    _order_id(),
    required("return_id", Text),
    required("ordinal", Integer),
    moment("returned_at"),
    PrimaryKeyConstraint("order_id", "return_id"),
    UniqueConstraint("order_id", "ordinal"),
)

return_lines = Table(
    "return_lines",
    metadata,
    required("order_id", Uuid),
    required("return_id", Text),
    required("line_number", Integer),
    pieces("quantity"),
    PrimaryKeyConstraint("order_id", "return_id", "line_number"),
    ForeignKeyConstraint(["order_id", "return_id"], [returns.c.order_id, returns.c.return_id]),
    ForeignKeyConstraint(["order_id", "line_number"], [order_lines.c.order_id, order_lines.c.line_number]),
    check("quantity", "quantity >= 1"),
)

refunds = Table(
    "refunds",
    metadata,
    _order_id(),
    required("refund_id", Text),
    required("ordinal", Integer),
    amount("amount"),
    text_column("reference"),
    moment("refunded_at"),
    PrimaryKeyConstraint("order_id", "refund_id"),
    UniqueConstraint("order_id", "ordinal"),
    check("amount", f"amount BETWEEN 1 AND {MAX_AMOUNT}"),
)
