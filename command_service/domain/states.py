"""Computes the three states of an order from its quantities and amounts.

States are never set, only computed. So equal quantities and amounts always give equal states.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class OrderState(StrEnum):
    """How far an order has come, from placed to delivered, returned, cancelled or refunded."""

    PLACED = "PLACED"
    PAID = "PAID"
    SHIPPED = "SHIPPED"
    DELIVERED = "DELIVERED"
    RETURNED = "RETURNED"
    CANCELLED = "CANCELLED"
    REFUNDED = "REFUNDED"


class PaymentState(StrEnum):
    """How much of an order is paid and refunded."""

    UNPAID = "UNPAID"
    PARTIALLY_PAID = "PARTIALLY_PAID"
    PAID = "PAID"
    REFUND_DUE = "REFUND_DUE"
    PARTIALLY_REFUNDED = "PARTIALLY_REFUNDED"
    REFUNDED = "REFUNDED"


class FulfillmentState(StrEnum):
    """How many of an order's pieces are shipped, delivered and returned."""

    UNFULFILLED = "UNFULFILLED"
    PARTIALLY_SHIPPED = "PARTIALLY_SHIPPED"
    SHIPPED = "SHIPPED"
    PARTIALLY_DELIVERED = "PARTIALLY_DELIVERED"
    DELIVERED = "DELIVERED"
    PARTIALLY_RETURNED = "PARTIALLY_RETURNED"
    RETURNED = "RETURNED"


@dataclass(frozen=True, slots=True)
class Quantities:
    """Numbers of pieces of an order, summed over its lines."""

    ordered: int
    cancelled: int
    shipped: int
    delivered: int
    returned: int

    @property
    def open(self) -> int:
        """Pieces still to ship."""
        return self.ordered - self.cancelled - self.shipped

    @property
    def all_delivered(self) -> bool:
        """Whether something was shipped, nothing is left to ship, and every shipment was delivered."""
        return self.shipped > 0 and self.open == 0 and self.delivered == self.shipped


@dataclass(frozen=True, slots=True)
class Amounts:
    """Sums of an order in minor units: what the shop may keep, what was paid, what was refunded, and what is due back.

    The shop may keep the price with tax of the pieces that were neither cancelled nor returned. It may also keep the
    freight, unless every piece was cancelled.
    """

    kept: int
    paid: int
    refunded: int
    refund_due: int


def order_state(quantities: Quantities, amounts: Amounts) -> OrderState:
    """Returns the order's state."""
    if quantities.cancelled == quantities.ordered:
        paid_back = amounts.refunded > 0 and amounts.refund_due == 0
        return OrderState.REFUNDED if paid_back else OrderState.CANCELLED
    if quantities.all_delivered:
        return OrderState.RETURNED if quantities.returned == quantities.delivered else OrderState.DELIVERED
    if quantities.shipped > 0 and quantities.open == 0:
        return OrderState.SHIPPED
    return OrderState.PAID if amounts.paid - amounts.refunded >= amounts.kept else OrderState.PLACED


def payment_state(quantities: Quantities, amounts: Amounts) -> PaymentState:
    """Returns the payment state. An order that costs nothing is paid unless it is cancelled."""
    if amounts.refund_due > 0:
        return PaymentState.REFUND_DUE
    if amounts.refunded > 0:
        return PaymentState.REFUNDED if amounts.refunded == amounts.paid else PaymentState.PARTIALLY_REFUNDED
    if amounts.paid > 0:
        return PaymentState.PAID if amounts.paid >= amounts.kept else PaymentState.PARTIALLY_PAID
    free = amounts.kept == 0 and quantities.cancelled < quantities.ordered
    return PaymentState.PAID if free else PaymentState.UNPAID


def fulfillment_state(quantities: Quantities) -> FulfillmentState:
    """Returns the fulfillment state."""
    if quantities.returned > 0:
        whole = quantities.all_delivered and quantities.returned == quantities.delivered
        return FulfillmentState.RETURNED if whole else FulfillmentState.PARTIALLY_RETURNED
    if quantities.delivered > 0:
        return FulfillmentState.DELIVERED if quantities.all_delivered else FulfillmentState.PARTIALLY_DELIVERED
    if quantities.shipped > 0:
        return FulfillmentState.SHIPPED if quantities.open == 0 else FulfillmentState.PARTIALLY_SHIPPED
    return FulfillmentState.UNFULFILLED
