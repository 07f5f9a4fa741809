"""Defines the movements of an order: payments, shipments, returns and refunds. Times are business times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Payment:
    """Money that arrived. `amount` is in minor units of the order's currency."""

    payment_id: str
    amount: int
    method: str
    reference: str
    paid_at: datetime


@dataclass(frozen=True, slots=True)
class LineQuantity:
    """A number of pieces of one line."""

    line_number: int
    quantity: int


@dataclass(frozen=True, slots=True)
class Shipment:
    """Goods that left. `delivered_at` is None until they have arrived."""

    shipment_id: str
    items: tuple[LineQuantity, ...]
    carrier: str
    tracking_number: str
    shipped_at: datetime
    delivered_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Return:
    """Goods that came back."""

    return_id: str
    items: tuple[LineQuantity, ...]
    returned_at: datetime


@dataclass(frozen=True, slots=True)
class Refund:
    """Money that was paid back. `amount` is in minor units of the order's currency."""

    refund_id: str
    amount: int
    reference: str
    refunded_at: datetime
