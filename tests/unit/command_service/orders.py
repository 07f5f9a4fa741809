"""Domain values for unit tests: commands within the rules, to be changed one field at a time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from command_service.domain.commands import NewLine, PlaceOrder
from command_service.domain.decisions import decide
from command_service.domain.evolve import evolve
from command_service.domain.line import OrderLine
from command_service.domain.money import Money
from command_service.domain.movements import LineQuantity, Payment, Refund, Return, Shipment
from command_service.domain.order import Order
from command_service.domain.parties import Address, Customer

NOW = datetime(2026, 5, 1, 8, 30, 0, 123_457, tzinfo=UTC)
ORDER_ID = UUID("018f6b1e-7c3a-7d6e-9b2a-3f5e8c1d2a4b")


def euros(minor_units: int) -> Money:
    return Money("EUR", minor_units)


def new_line(**changes: Any) -> NewLine:
    return replace(NewLine("CHAI", "Chai", euros(1_99), 3, 500, 1_900), **changes)


def place_order(**changes: Any) -> PlaceOrder:
    command = PlaceOrder(
        order_id=ORDER_ID,
        customer=Customer("C1", "Ann", "ann@example.org", "1"),
        shipping_address=Address("DE", locality="Köln", address_lines=("Ring 1", "Hof"), recipients=("Ann",)),
        lines=(new_line(), new_line(sku="TOFU", unit_price=euros(10_00), quantity=1)),
        freight=euros(4_95),
        source="web",
    )
    return replace(command, **changes)


def placed(**changes: Any) -> Order:
    (event,) = decide(None, place_order(**changes), NOW)
    return evolve(None, event)


def full_order() -> Order:
    """An order with a bit of everything that can have happened to it."""
    order = placed()
    lines: tuple[OrderLine, ...] = (
        replace(order.lines[0], shipped_quantity=2, delivered_quantity=2, returned_quantity=1, cancelled_quantity=1),
        order.lines[1],
    )
    later = NOW + timedelta(days=1)
    return replace(
        order,
        version=6,
        lines=lines,
        updated_at=later,
        payments=(Payment("P1", 20_00, "card", "ref", NOW),),
        shipments=(Shipment("S1", (LineQuantity(1, 2),), "DHL", "T1", NOW, later), Shipment("S2", (), "", "", NOW)),
        returns=(Return("R1", (LineQuantity(1, 1),), later),),
        refunds=(Refund("F1", 1_00, "back", later),),
        on_hold=True,
    )
