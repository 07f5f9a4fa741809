"""Domain values for unit tests: valid commands, of which tests change one field at a time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from command_service.domain.commands import (
    CancelOrder,
    ChangeShippingAddress,
    Command,
    HoldOrder,
    ImportOrder,
    LabelOrder,
    NewLine,
    PlaceOrder,
    RecordDelivery,
    RecordPayment,
    RefundOrder,
    ReleaseOrder,
    ReturnItems,
    ReviseOrder,
    ShipOrder,
)
from command_service.domain.decision import Decision
from command_service.domain.decisions import decide, decide_new
from command_service.domain.events import Event
from command_service.domain.labels import Labels
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


def decision(state: Order | None, command: Command, now: datetime = NOW) -> Decision[Event]:
    """Returns the service's decision: the command creates the order if `state` is None, else changes it."""
    if isinstance(command, PlaceOrder | ImportOrder):
        assert state is None
        return decide_new(command, now)
    assert state is not None
    return decide(state, command, now)


def placed(**changes: Any) -> Order:
    return decide_new(place_order(**changes), NOW).order


def after(state: Order | None, *commands: Command, now: datetime = NOW) -> Order:
    """Returns the order after these commands, each of which must be allowed."""
    for command in commands:
        state = decision(state, command, now).order
    assert state is not None
    return state


def pay(amount: Money, payment_id: str = "P1", **changes: Any) -> RecordPayment:
    return RecordPayment(ORDER_ID, payment_id, amount, "card", **changes)


def ship(*items: tuple[int, int], shipment_id: str = "S1", **changes: Any) -> ShipOrder:
    """Returns a ShipOrder; items are (line, pieces)."""
    return ShipOrder(ORDER_ID, shipment_id, tuple(LineQuantity(*item) for item in items), **changes)


def deliver(shipment_id: str = "S1", delivered_at: datetime | None = None) -> RecordDelivery:
    return RecordDelivery(ORDER_ID, shipment_id, delivered_at)


def cancel(*items: tuple[int, int]) -> CancelOrder:
    return CancelOrder(ORDER_ID, tuple(LineQuantity(*item) for item in items))


def take_back(*items: tuple[int, int], return_id: str = "R1", returned_at: datetime | None = None) -> ReturnItems:
    return ReturnItems(ORDER_ID, return_id, tuple(LineQuantity(*item) for item in items), returned_at)


def refund(amount: Money, refund_id: str = "F1", **changes: Any) -> RefundOrder:
    return RefundOrder(ORDER_ID, refund_id, amount, **changes)


def revise(*lines: NewLine, **changes: Any) -> ReviseOrder:
    return ReviseOrder(ORDER_ID, lines, **changes)


def label(*, removed: tuple[str, ...] = (), note: str | None = None, **labels: str) -> LabelOrder:
    return LabelOrder(ORDER_ID, Labels(labels), removed, note)


def move_to(region_code: str) -> ChangeShippingAddress:
    return ChangeShippingAddress(ORDER_ID, Address(region_code))


HOLD, RELEASE = HoldOrder(ORDER_ID), ReleaseOrder(ORDER_ID)


def paid(**changes: Any) -> Order:
    """Returns an order that is paid in full."""
    order = placed(**changes)
    return after(order, pay(euros(order.total), "P0"))


def full_order() -> Order:
    """Returns an order with payments, shipments, returns and refunds."""
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
        labels=Labels({"erp/id": "4711", "channel": "Wärme"}),
        note="Klingeln: 2× läuten",
    )
