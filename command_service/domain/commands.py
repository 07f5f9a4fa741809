"""Defines the commands, whose docstrings say what the caller wants or reports.

Requests were checked before: texts are within their limits, ids are parsed, and money is in minor units.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from command_service.domain.labels import NO_LABELS, Labels
from command_service.domain.money import Money
from command_service.domain.movements import LineQuantity, Shipment
from command_service.domain.order_number import order_number_of
from command_service.domain.parties import Address, Customer


@dataclass(frozen=True, slots=True)
class NewLine:
    """One line of a new or revised order. Rates are basis points.

    `line_number`: the line of the order that a revision replaces; None: the line is matched by its SKU.
    """

    sku: str
    product_name: str
    unit_price: Money
    quantity: int
    discount_basis_points: int = 0
    tax_rate_basis_points: int = 0
    line_number: int | None = None


@dataclass(frozen=True, slots=True)
class OrderIdentity:
    """The id of a new order, its number within its source, and its customer."""

    order_id: UUID
    source: str
    order_number: str
    customer_id: str


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """Accept a new order.

    Without an `order_number` it is derived from the order id. Without a `billing_address` the shipping address is used.
    `freight` None: no freight. `expected_total` None: the total is not compared.
    """

    order_id: UUID
    customer: Customer
    shipping_address: Address
    lines: tuple[NewLine, ...]
    billing_address: Address | None = None
    freight: Money | None = None
    expected_total: Money | None = None
    source: str = ""
    order_number: str | None = None
    labels: Labels = NO_LABELS
    note: str = ""

    @property
    def identity(self) -> OrderIdentity:
        """The identity of the new order. The number is the caller's, or derived from the order id."""
        number = self.order_number or order_number_of(self.order_id)
        return OrderIdentity(self.order_id, self.source, number, self.customer.customer_id)


@dataclass(frozen=True, slots=True)
class ImportedPayment:
    """A payment that another system recorded."""

    payment_id: str
    amount: Money
    method: str
    reference: str
    paid_at: datetime


@dataclass(frozen=True, slots=True)
class ImportOrder:
    """Import an order that was placed in another system at `placed_at`, with its payments and shipments."""

    order: PlaceOrder
    placed_at: datetime
    payments: tuple[ImportedPayment, ...] = ()
    shipments: tuple[Shipment, ...] = ()
    on_hold: bool = False

    @property
    def identity(self) -> OrderIdentity:
        """The identity of the imported order."""
        return self.order.identity


@dataclass(frozen=True, slots=True)
class ReviseOrder:
    """Replace the lines of an order, and its freight unless `freight` is None."""

    order_id: UUID
    lines: tuple[NewLine, ...]
    freight: Money | None = None
    expected_total: Money | None = None


@dataclass(frozen=True, slots=True)
class ChangeShippingAddress:
    """Ship the order to another address."""

    order_id: UUID
    shipping_address: Address


@dataclass(frozen=True, slots=True)
class RecordPayment:
    """Record that money arrived. `paid_at` None: now."""

    order_id: UUID
    payment_id: str
    amount: Money
    method: str
    reference: str = ""
    paid_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ShipOrder:
    """Record that goods left. `shipped_at` None: now. No items: all pieces that are left to ship."""

    order_id: UUID
    shipment_id: str
    items: tuple[LineQuantity, ...] = ()
    carrier: str = ""
    tracking_number: str = ""
    shipped_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RecordDelivery:
    """Record that a shipment arrived. `delivered_at` None: now."""

    order_id: UUID
    shipment_id: str
    delivered_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """Cancel pieces. No items: all pieces that are neither shipped nor cancelled."""

    order_id: UUID
    items: tuple[LineQuantity, ...] = ()


@dataclass(frozen=True, slots=True)
class ReturnItems:
    """Record that goods came back. `returned_at` None: now."""

    order_id: UUID
    return_id: str
    items: tuple[LineQuantity, ...]
    returned_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RefundOrder:
    """Record that money was paid back. `refunded_at` None: now."""

    order_id: UUID
    refund_id: str
    amount: Money
    reference: str = ""
    refunded_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class HoldOrder:
    """Forbid shipping the order until it is released."""

    order_id: UUID


@dataclass(frozen=True, slots=True)
class ReleaseOrder:
    """Allow shipping the order again after a hold."""

    order_id: UUID


@dataclass(frozen=True, slots=True)
class LabelOrder:
    """Set some labels of an order, remove others, and replace its note. `note` None: the note stays."""

    order_id: UUID
    set_labels: Labels = NO_LABELS
    remove_labels: tuple[str, ...] = ()
    note: str | None = None


@dataclass(frozen=True, slots=True)
class RedactOrder:
    """Erase the personal data of an order. Callers ask for it with RedactCustomer, for all orders of a customer."""

    order_id: UUID


#: Commands that create an order.
NewOrder = PlaceOrder | ImportOrder
#: Commands that change an existing order.
OrderChange = (
    ReviseOrder
    | ChangeShippingAddress
    | RecordPayment
    | ShipOrder
    | RecordDelivery
    | CancelOrder
    | ReturnItems
    | RefundOrder
    | HoldOrder
    | ReleaseOrder
    | LabelOrder
    | RedactOrder
)
Command = NewOrder | OrderChange
