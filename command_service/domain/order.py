"""Describes a whole order as an immutable value. `evolve` computes the order after an event."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from command_service.domain.computed_once import computed_once
from command_service.domain.labels import NO_LABELS, Labels
from command_service.domain.line import OrderLine
from command_service.domain.movements import Payment, Refund, Return, Shipment
from command_service.domain.parties import Address, Customer
from command_service.domain.states import (
    Amounts,
    FulfillmentState,
    OrderState,
    PaymentState,
    Quantities,
    fulfillment_state,
    order_state,
    payment_state,
)


@dataclass(frozen=True)
class Order:
    """An order at one version. Amounts are minor units of `currency`. Times are business times, in UTC, with a zone."""

    order_id: UUID
    order_number: str
    version: int
    source: str
    customer: Customer
    shipping_address: Address
    billing_address: Address
    currency: str
    lines: tuple[OrderLine, ...]
    freight: int
    placed_at: datetime
    updated_at: datetime
    payments: tuple[Payment, ...] = ()
    shipments: tuple[Shipment, ...] = ()
    returns: tuple[Return, ...] = ()
    refunds: tuple[Refund, ...] = ()
    on_hold: bool = field(default=False)
    redacted: bool = field(default=False)
    labels: Labels = field(default=NO_LABELS)
    note: str = field(default="")

    @property
    def moved(self) -> bool:
        """Whether the order has a payment, shipment, return or refund."""
        return bool(self.payments or self.shipments or self.returns or self.refunds)

    @computed_once
    def quantities(self) -> Quantities:
        """Numbers of pieces, summed over the lines."""
        return Quantities(
            ordered=sum(line.quantity for line in self.lines),
            cancelled=sum(line.cancelled_quantity for line in self.lines),
            shipped=sum(line.shipped_quantity for line in self.lines),
            delivered=sum(line.delivered_quantity for line in self.lines),
            returned=sum(line.returned_quantity for line in self.lines),
        )

    @computed_once
    def net_total(self) -> int:
        """Net price of all charged pieces."""
        return sum(line.net_amount for line in self.lines)

    @computed_once
    def tax_total(self) -> int:
        """Tax on all charged pieces."""
        return sum(line.tax_amount for line in self.lines)

    @computed_once
    def charged_freight(self) -> int:
        """The freight, or 0 if every piece was cancelled."""
        return 0 if self.quantities.cancelled == self.quantities.ordered else self.freight

    @computed_once
    def total(self) -> int:
        """What the order costs: net price, tax and charged freight."""
        return self.net_total + self.tax_total + self.charged_freight

    @computed_once
    def amounts(self) -> Amounts:
        """The sums that the shop may keep, that were paid, that were refunded, and that are due back."""
        paid = sum(payment.amount for payment in self.payments)
        refunded = sum(refund.amount for refund in self.refunds)
        kept = sum(line.kept_amount for line in self.lines) + self.charged_freight
        return Amounts(kept, paid, refunded, max(0, paid - refunded - kept))

    @computed_once
    def state(self) -> OrderState:
        """How far the order has come."""
        return order_state(self.quantities, self.amounts)

    @computed_once
    def payment_state(self) -> PaymentState:
        """How much of the order is paid and refunded."""
        return payment_state(self.quantities, self.amounts)

    @computed_once
    def fulfillment_state(self) -> FulfillmentState:
        """How many pieces are shipped, delivered and returned."""
        return fulfillment_state(self.quantities)
