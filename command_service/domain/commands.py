"""What callers may ask of an order, already well-formed: text within its limits, ids parsed, money in minor units."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from command_service.domain.money import Money
from command_service.domain.parties import Address, Customer


@dataclass(frozen=True, slots=True)
class NewLine:
    """A position of an order to be. Rates in basis points."""

    sku: str
    product_name: str
    unit_price: Money
    quantity: int
    discount_basis_points: int = 0
    tax_rate_basis_points: int = 0


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """Accept a new order. `order_number` None: made from the order id; `billing_address` None: the shipping address."""

    order_id: UUID
    customer: Customer
    shipping_address: Address
    lines: tuple[NewLine, ...]
    billing_address: Address | None = None
    freight: Money | None = None
    expected_total: Money | None = None
    source: str = ""
    order_number: str | None = None


@dataclass(frozen=True, slots=True)
class HoldOrder:
    """Stop shipping until the order is released."""

    order_id: UUID


@dataclass(frozen=True, slots=True)
class ReleaseOrder:
    """Let shipping go on."""

    order_id: UUID


#: Commands that change an order; the others make one.
OrderChange = HoldOrder | ReleaseOrder
Command = PlaceOrder | OrderChange
