"""Builds the rows of an order, its lines and its event, as column name → value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from operator import attrgetter
from typing import Any
from uuid import UUID

from tandem.orders.partition import partition_of

from command_service.application.event_record import EventRecord
from command_service.domain.hash_chain import Link
from command_service.domain.line import OrderLine
from command_service.domain.order import Order
from command_service.domain.parties import ADDRESS_LISTS, ADDRESS_TEXTS, CONTACT_TEXTS, Address

Row = Mapping[str, Any]
_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_LINK = tuple(field.name for field in fields(Link))
_link_values = attrgetter(*_LINK)
_CONTACT_COLUMNS = tuple(f"customer_{name}" for name in CONTACT_TEXTS)
_contact_values = attrgetter(*CONTACT_TEXTS)
_SHIPPING_COLUMNS, _BILLING_COLUMNS = (
    tuple(f"{kind}_{name}" for name in (*ADDRESS_TEXTS, *ADDRESS_LISTS)) for kind in ("shipping", "billing")
)
_address_texts, _address_lists = attrgetter(*ADDRESS_TEXTS), attrgetter(*ADDRESS_LISTS)


def order_row(order: Order, head: EventRecord) -> Row:
    """Returns the row of `orders`. `head` is the order's newest event, whose id and hash the row also holds."""
    return {
        "order_id": order.order_id,
        "version": order.version,
        "order_number": order.order_number,
        "source": order.source,
        "partition": partition_of(order.order_id),
        "state": order.state.value,
        "payment_state": order.payment_state.value,
        "fulfillment_state": order.fulfillment_state.value,
        "on_hold": order.on_hold,
        "redacted": order.redacted,
        "customer_id": order.customer.customer_id,
        **dict(zip(_CONTACT_COLUMNS, _contact_values(order.customer), strict=True)),
        **_address(_SHIPPING_COLUMNS, order.shipping_address),
        **_address(_BILLING_COLUMNS, order.billing_address),
        "currency_code": order.currency,
        "freight": order.freight,
        "net_total": order.net_total,
        "tax_total": order.tax_total,
        "total": order.total,
        "paid_total": order.amounts.paid,
        "refunded_total": order.amounts.refunded,
        "refund_due": order.amounts.refund_due,
        "placed_at": order.placed_at,
        "updated_at": order.updated_at,
        "head_event_id": head.link.event_id,
        "head_hash": head.hash,
        "recorded_at": head.link.recorded_at,
        "labels": _json(dict(order.labels)) if order.labels else "{}",
        "note": order.note,
    }


def _address(columns: tuple[str, ...], address: Address) -> Row:
    return dict(zip(columns, (*_address_texts(address), *map(list, _address_lists(address))), strict=True))


def event_row(record: EventRecord) -> Row:
    """Returns the row of `outbox` for an event, without the columns that the database fills."""
    return {
        **dict(zip(_LINK, _link_values(record.link), strict=True)),
        "partition": partition_of(record.link.aggregate_id),
        "personal": record.personal,
        "salt": record.salt,
        "hash": record.hash,
    }


def line_rows(order_id: UUID, lines: Iterable[OrderLine]) -> list[Row]:
    """Returns the rows of `order_lines` for lines of one order."""
    return [
        {
            "order_id": order_id,
            "line_number": line.line_number,
            "sku": line.sku,
            "product_name": line.product_name,
            "unit_price": line.unit_price,
            "quantity": line.quantity,
            "discount_basis_points": line.discount_basis_points,
            "tax_rate_basis_points": line.tax_rate_basis_points,
            "net_amount": line.net_amount,
            "tax_amount": line.tax_amount,
            "cancelled_quantity": line.cancelled_quantity,
            "shipped_quantity": line.shipped_quantity,
            "delivered_quantity": line.delivered_quantity,
            "returned_quantity": line.returned_quantity,
        }
        for line in lines
    ]
