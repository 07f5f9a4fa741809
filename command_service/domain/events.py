"""What happened to an order: the facts from which `evolve` makes the next state. `occurred_at` is business time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from command_service.domain.line import OrderLine
from command_service.domain.parties import Address, Customer


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
class OrderHeld:
    """Nothing may be shipped until the order is released."""

    event_type: ClassVar[str] = "ORDER_HELD"

    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class OrderReleased:
    """Shipping may go on."""

    event_type: ClassVar[str] = "ORDER_RELEASED"

    occurred_at: datetime


Event = OrderCreated | OrderHeld | OrderReleased
