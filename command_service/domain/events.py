"""Lists what can happen to an order: the facts from which `evolve` computes the next state.

`occurred_at` is business time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from command_service.domain.line import OrderLine
from command_service.domain.movements import LineQuantity, Payment, Refund, Return, Shipment
from command_service.domain.parties import Address, Customer
from command_service.domain.states import OrderState


@dataclass(frozen=True, slots=True)
class OrderCreated:
    """The order was accepted."""

    event_type: ClassVar[str] = "ORDER_CREATED"

    order_id: UUID
    order_number: str
    source: str
    customer: Customer
    shipping_address: Address
    billing_address: Address
    currency: str
    lines: tuple[OrderLine, ...]
    freight: int
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class OrderImported:
    """The order was imported: `accepted` in the other system, with its payments and shipments. Lines as ordered."""

    event_type: ClassVar[str] = "ORDER_IMPORTED"

    accepted: OrderCreated
    payments: tuple[Payment, ...]
    shipments: tuple[Shipment, ...]
    on_hold: bool

    @property
    def occurred_at(self) -> datetime:
        """When the order was placed."""
        return self.accepted.occurred_at


@dataclass(frozen=True, slots=True)
class OrderRevised:
    """Lines or freight were replaced before payment."""

    event_type: ClassVar[str] = "ORDER_REVISED"

    lines: tuple[OrderLine, ...]
    freight: int
    previous_lines: tuple[OrderLine, ...]
    previous_freight: int
    previous_total: int
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class OrderShippingAddressChanged:
    """The order is sent to another address."""

    event_type: ClassVar[str] = "ORDER_SHIPPING_ADDRESS_CHANGED"

    shipping_address: Address
    previous_shipping_address: Address
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class OrderPaid:
    """Money arrived. The order's states say whether it was enough."""

    event_type: ClassVar[str] = "ORDER_PAID"

    payment: Payment
    previous_state: OrderState

    @property
    def occurred_at(self) -> datetime:
        """When the money arrived."""
        return self.payment.paid_at


@dataclass(frozen=True, slots=True)
class OrderShipped:
    """Goods left. The order's states say whether all of them."""

    event_type: ClassVar[str] = "ORDER_SHIPPED"

    shipment: Shipment
    previous_state: OrderState

    @property
    def occurred_at(self) -> datetime:
        """When the goods left."""
        return self.shipment.shipped_at


@dataclass(frozen=True, slots=True)
class OrderDelivered:
    """A shipment arrived."""

    event_type: ClassVar[str] = "ORDER_DELIVERED"

    shipment_id: str
    previous_state: OrderState
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class OrderCancelled:
    """The order, or some unshipped pieces of it, were cancelled."""

    event_type: ClassVar[str] = "ORDER_CANCELLED"

    items: tuple[LineQuantity, ...]
    previous_total: int
    previous_state: OrderState
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class OrderReturned:
    """Goods came back."""

    event_type: ClassVar[str] = "ORDER_RETURNED"

    returned: Return
    previous_state: OrderState

    @property
    def occurred_at(self) -> datetime:
        """When the goods were back."""
        return self.returned.returned_at


@dataclass(frozen=True, slots=True)
class OrderRefunded:
    """Money was paid back."""

    event_type: ClassVar[str] = "ORDER_REFUNDED"

    refund: Refund
    previous_state: OrderState

    @property
    def occurred_at(self) -> datetime:
        """When the money was paid back."""
        return self.refund.refunded_at


@dataclass(frozen=True, slots=True)
class OrderHeld:
    """Nothing may be shipped until the order is released."""

    event_type: ClassVar[str] = "ORDER_HELD"

    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class OrderReleased:
    """Shipping is allowed again."""

    event_type: ClassVar[str] = "ORDER_RELEASED"

    occurred_at: datetime


#: What makes an order.
FirstEvent = OrderCreated | OrderImported
#: What changes one.
LaterEvent = (
    OrderRevised
    | OrderShippingAddressChanged
    | OrderPaid
    | OrderShipped
    | OrderDelivered
    | OrderCancelled
    | OrderReturned
    | OrderRefunded
    | OrderHeld
    | OrderReleased
)
Event = FirstEvent | LaterEvent
