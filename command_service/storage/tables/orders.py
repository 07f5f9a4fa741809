"""Declares the tables of customers, orders and their lines."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from command_service.domain.money import BASIS_POINTS, MAX_AMOUNT
from command_service.domain.parties import ADDRESS_LISTS, ADDRESS_TEXTS, CONTACT_TEXTS
from command_service.domain.rules import MAX_QUANTITY
from command_service.domain.states import FulfillmentState, OrderState, PaymentState
from command_service.storage.tables.metadata import (
    amount,
    check,
    given_later,
    metadata,
    moment,
    one_of,
    pieces,
    required,
    text_column,
)

customers = Table(
    "customers",
    metadata,
    Column("id", Text, primary_key=True),
    moment("redacted_at", nullable=True),
)


def _address(kind: str) -> list[Column[Any]]:
    texts = [text_column(f"{kind}_{name}") for name in ADDRESS_TEXTS]
    return texts + [required(f"{kind}_{name}", ARRAY(Text)) for name in ADDRESS_LISTS]


orders = Table(
    "orders",
    metadata,
    Column("order_id", Uuid, primary_key=True),
    required("version", BigInteger),
    text_column("order_number"),
    text_column("source"),
    required("partition", SmallInteger),
    text_column("state"),
    text_column("payment_state"),
    text_column("fulfillment_state"),
    required("on_hold", Boolean),
    required("redacted", Boolean),
    required("customer_id", Text, ForeignKey(customers.c.id)),
    *(text_column(f"customer_{name}") for name in CONTACT_TEXTS),
    *_address("shipping"),
    *_address("billing"),
    text_column("currency_code"),
    amount("freight"),
    amount("net_total"),
    amount("tax_total"),
    amount("total"),
    amount("paid_total"),
    amount("refunded_total"),
    amount("refund_due"),
    moment("placed_at"),
    moment("updated_at"),
    required("head_event_id", Uuid),
    required("head_hash", LargeBinary),
    moment("recorded_at"),
    given_later("labels", JSONB, "'{}'"),
    given_later("note", Text, "''"),
    UniqueConstraint("source", "order_number"),
    Index(None, "customer_id", "order_id"),
    check("version", "version >= 1"),
    check("partition", "partition BETWEEN 0 AND 63"),
    one_of("state", OrderState),
    one_of("payment_state", PaymentState),
    one_of("fulfillment_state", FulfillmentState),
    check("currency_code", "currency_code ~ '^[A-Z]{3}$'"),
    check("freight", f"freight BETWEEN 0 AND {MAX_AMOUNT}"),
    check("net_total", "net_total >= 0"),
    check("tax_total", "tax_total >= 0"),
    check(
        "total",
        "total = net_total + tax_total + freight"
        " OR (state IN ('CANCELLED', 'REFUNDED') AND total = net_total + tax_total)",
    ),
    check("total_limit", f"total BETWEEN 0 AND {MAX_AMOUNT}"),
    check("paid_total", "paid_total >= 0"),
    check("refunded_total", "refunded_total BETWEEN 0 AND paid_total"),
    check("refund_due", "refund_due BETWEEN 0 AND paid_total - refunded_total"),
    check("head_hash", "octet_length(head_hash) = 32"),
)


def _rounded(result: str, exact: str) -> str:
    """Returns the SQL condition that `result` is `exact` / 10,000, rounded half to even."""
    twice_off = f"2 * abs({result}::numeric * {BASIS_POINTS} - {exact})"
    return f"{twice_off} < {BASIS_POINTS} OR ({twice_off} = {BASIS_POINTS} AND mod({result}, 2) = 0)"


order_lines = Table(
    "order_lines",
    metadata,
    Column("order_id", Uuid, ForeignKey(orders.c.order_id), nullable=False),
    required("line_number", Integer),
    text_column("sku"),
    text_column("product_name"),
    amount("unit_price"),
    pieces("quantity"),
    required("discount_basis_points", Integer),
    required("tax_rate_basis_points", Integer),
    amount("net_amount"),
    amount("tax_amount"),
    pieces("cancelled_quantity"),
    pieces("shipped_quantity"),
    pieces("delivered_quantity"),
    pieces("returned_quantity"),
    PrimaryKeyConstraint("order_id", "line_number"),
    check("line_number", "line_number >= 1"),
    check("unit_price", f"unit_price BETWEEN 0 AND {MAX_AMOUNT}"),
    check("quantity", f"quantity BETWEEN 1 AND {MAX_QUANTITY}"),
    check("discount_basis_points", f"discount_basis_points BETWEEN 0 AND {BASIS_POINTS}"),
    check("tax_rate_basis_points", f"tax_rate_basis_points BETWEEN 0 AND {BASIS_POINTS}"),
    check(
        "net_amount",
        _rounded(
            "net_amount",
            f"unit_price::numeric * (quantity - cancelled_quantity) * ({BASIS_POINTS} - discount_basis_points)",
        ),
    ),
    check("tax_amount", _rounded("tax_amount", "net_amount::numeric * tax_rate_basis_points")),
    check("cancelled_quantity", "cancelled_quantity >= 0"),
    check("not_too_many_shipped", "shipped_quantity + cancelled_quantity <= quantity"),
    check("delivered_quantity", "delivered_quantity BETWEEN 0 AND shipped_quantity"),
    check("returned_quantity", "returned_quantity BETWEEN 0 AND delivered_quantity"),
)
