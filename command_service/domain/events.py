"""Defines the events of an order. `evolve` computes the order after an event from the order before it.

An event is a fact that is never changed. `occurred_at` is business time: when it happened in the world. Fields named
`previous_…` hold values from before the event. Amounts are minor units of the order's currency.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from command_service.domain.labels import NO_LABELS, Labels
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
    labels: Labels = NO_LABELS
    note: str = ""


@dataclass(frozen=True, slots=True)
class OrderImported:
    """The order was imported from another system, with its payments and shipments.

    `accepted` is the order as that system accepted it; its lines do not yet count the shipments.
    """

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
    """The lines, and perhaps the freight, were replaced before the order was paid."""

    event_type: ClassVar[str] = "ORDER_REVISED"

    lines: tuple[OrderLine, ...]
    freight: int
    previous_lines: tuple[OrderLine, ...]
    previous_freight: int
    previous_total: int
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class OrderShippingAddressChanged:
    """The order is to be shipped to another address."""

    event_type: ClassVar[str] = "ORDER_SHIPPING_ADDRESS_CHANGED"

    shipping_address: Address
    previous_shipping_address: Address
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class OrderPaid:
    """Money arrived. The payment state after it says whether it was enough."""

    event_type: ClassVar[str] = "ORDER_PAID"

    payment: Payment
    previous_state: OrderState

    @property
    def occurred_at(self) -> datetime:
        """When the money arrived."""
        return self.payment.paid_at


@dataclass(frozen=True, slots=True)
class OrderShipped:
    """Goods left. The fulfillment state after it says whether these were all goods of the order."""

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
    """All or some unshipped pieces of the order were cancelled."""

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
        """When the goods came back."""
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


@dataclass(frozen=True, slots=True)
class OrderLabelled:
    """Labels or the note were changed.

    `labels` and `note` are those after the event. `previous_labels` are the changed and removed ones, as they were.
    `previous_note` None: the note stayed.
    """

    event_type: ClassVar[str] = "ORDER_LABELLED"

    labels: Labels
    note: str
    previous_labels: Labels
    previous_note: str | None
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class OrderRedacted:
    """The personal data of the order was erased."""

    event_type: ClassVar[str] = "ORDER_REDACTED"

    occurred_at: datetime


#: Events that create an order.
FirstEvent = OrderCreated | OrderImported
#: Events that change an existing order.
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
    | OrderLabelled
    | OrderRedacted
)
Event = FirstEvent | LaterEvent
