"""Computes the three states of an order from quantities and amounts. None is stored as a fact.

So one situation has one state, and no command can set a state by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class OrderState(StrEnum):
    """Where an order stands in its life."""

    PLACED = "PLACED"
    PAID = "PAID"
    SHIPPED = "SHIPPED"
    DELIVERED = "DELIVERED"
    RETURNED = "RETURNED"
    CANCELLED = "CANCELLED"
    REFUNDED = "REFUNDED"


class PaymentState(StrEnum):
    """What has become of the money."""

    UNPAID = "UNPAID"
    PARTIALLY_PAID = "PARTIALLY_PAID"
    PAID = "PAID"
    REFUND_DUE = "REFUND_DUE"
    PARTIALLY_REFUNDED = "PARTIALLY_REFUNDED"
    REFUNDED = "REFUNDED"


class FulfillmentState(StrEnum):
    """What has become of the goods."""

    UNFULFILLED = "UNFULFILLED"
    PARTIALLY_SHIPPED = "PARTIALLY_SHIPPED"
    SHIPPED = "SHIPPED"
    PARTIALLY_DELIVERED = "PARTIALLY_DELIVERED"
    DELIVERED = "DELIVERED"
    PARTIALLY_RETURNED = "PARTIALLY_RETURNED"
    RETURNED = "RETURNED"


@dataclass(frozen=True, slots=True)
class Quantities:
    """Pieces of an order over all its lines."""

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
    """Money of an order in minor units: what we may keep, what was captured, what was refunded, what is due back.

    We may keep freight and the price of the pieces that were neither cancelled nor returned.
    """

    kept: int
    paid: int
    refunded: int
    refund_due: int


def order_state(quantities: Quantities, amounts: Amounts) -> OrderState:
    """The state of life."""
    if quantities.cancelled == quantities.ordered:
        paid_back = amounts.refunded > 0 and amounts.refund_due == 0
        return OrderState.REFUNDED if paid_back else OrderState.CANCELLED
    if quantities.all_delivered:
        return OrderState.RETURNED if quantities.returned == quantities.delivered else OrderState.DELIVERED
    if quantities.shipped > 0 and quantities.open == 0:
        return OrderState.SHIPPED
    return OrderState.PAID if amounts.paid - amounts.refunded >= amounts.kept else OrderState.PLACED


def payment_state(quantities: Quantities, amounts: Amounts) -> PaymentState:
    """The state of the money."""
    if amounts.refund_due > 0:
        return PaymentState.REFUND_DUE
    if amounts.refunded > 0:
        return PaymentState.REFUNDED if amounts.refunded == amounts.paid else PaymentState.PARTIALLY_REFUNDED
    if amounts.paid > 0:
        return PaymentState.PAID if amounts.paid >= amounts.kept else PaymentState.PARTIALLY_PAID
    free = amounts.kept == 0 and quantities.cancelled < quantities.ordered
    return PaymentState.PAID if free else PaymentState.UNPAID


def fulfillment_state(quantities: Quantities) -> FulfillmentState:
    """The state of the goods."""
    if quantities.returned > 0:
        whole = quantities.all_delivered and quantities.returned == quantities.delivered
        return FulfillmentState.RETURNED if whole else FulfillmentState.PARTIALLY_RETURNED
    if quantities.delivered > 0:
        return FulfillmentState.DELIVERED if quantities.all_delivered else FulfillmentState.PARTIALLY_DELIVERED
    if quantities.shipped > 0:
        return FulfillmentState.SHIPPED if quantities.open == 0 else FulfillmentState.PARTIALLY_SHIPPED
    return FulfillmentState.UNFULFILLED
