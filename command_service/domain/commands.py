"""Lists the commands, already well-formed: texts within their limits, ids parsed, money in minor units."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from command_service.domain.money import Money
from command_service.domain.movements import LineQuantity, Shipment
from command_service.domain.order_number import order_number_of
from command_service.domain.parties import Address, Customer


@dataclass(frozen=True, slots=True)
class NewLine:
    """One line of a new order. Rates in basis points."""

    sku: str
    product_name: str
    unit_price: Money
    quantity: int
    discount_basis_points: int = 0
    tax_rate_basis_points: int = 0


@dataclass(frozen=True, slots=True)
class OrderIdentity:
    """The id of an order, and its number within its source."""

    order_id: UUID
    source: str
    order_number: str


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """Accept a new order.

    `order_number` None: derived from the order id. `billing_address` None: the shipping address.
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

    @property
    def identity(self) -> OrderIdentity:
        """Returns the identity of the new order; its number is the caller's, or derived from its id."""
        return OrderIdentity(self.order_id, self.source, self.order_number or order_number_of(self.order_id))


@dataclass(frozen=True, slots=True)
class ImportedPayment:
    """Money that arrived in another system."""

    payment_id: str
    amount: Money
    method: str
    reference: str
    paid_at: datetime


@dataclass(frozen=True, slots=True)
class ImportOrder:
    """Import an order from another system: as it was placed there at `placed_at`, with its payments and shipments."""

    order: PlaceOrder
    placed_at: datetime
    payments: tuple[ImportedPayment, ...] = ()
    shipments: tuple[Shipment, ...] = ()
    on_hold: bool = False

    @property
    def identity(self) -> OrderIdentity:
        """Returns the identity of the imported order."""
        return self.order.identity


@dataclass(frozen=True, slots=True)
class ReviseOrder:
    """Replace the lines, and the freight unless it is None."""

    order_id: UUID
    lines: tuple[NewLine, ...]
    freight: Money | None = None
    expected_total: Money | None = None


@dataclass(frozen=True, slots=True)
class ChangeShippingAddress:
    """Send the order elsewhere."""

    order_id: UUID
    shipping_address: Address


@dataclass(frozen=True, slots=True)
class RecordPayment:
    """Money arrived, now when `paid_at` is None."""

    order_id: UUID
    payment_id: str
    amount: Money
    method: str
    reference: str = ""
    paid_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ShipOrder:
    """Goods left, now when `shipped_at` is None. No items: everything that is left to ship."""

    order_id: UUID
    shipment_id: str
    items: tuple[LineQuantity, ...] = ()
    carrier: str = ""
    tracking_number: str = ""
    shipped_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RecordDelivery:
    """A shipment arrived, now when `delivered_at` is None."""

    order_id: UUID
    shipment_id: str
    delivered_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """Cancel pieces. No items: everything that is not shipped."""

    order_id: UUID
    items: tuple[LineQuantity, ...] = ()


@dataclass(frozen=True, slots=True)
class ReturnItems:
    """Goods came back, now when `returned_at` is None."""

    order_id: UUID
    return_id: str
    items: tuple[LineQuantity, ...]
    returned_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RefundOrder:
    """Money was paid back, now when `refunded_at` is None."""

    order_id: UUID
    refund_id: str
    amount: Money
    reference: str = ""
    refunded_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class HoldOrder:
    """Stop shipping until the order is released."""

    order_id: UUID


@dataclass(frozen=True, slots=True)
class ReleaseOrder:
    """Allow shipping again."""

    order_id: UUID


#: Commands that create an order.
NewOrder = PlaceOrder | ImportOrder
#: Commands that change one.
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
)
Command = NewOrder | OrderChange
