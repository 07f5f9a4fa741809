"""Decides ImportOrder, for one order of an ImportOrders stream.

Amounts, quantities and times are checked. Whether the order was allowed to be paid or shipped is not checked, because
that has already happened.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from command_service.domain import rules
from command_service.domain.commands import ImportedPayment, ImportOrder
from command_service.domain.decision import Decision
from command_service.domain.decisions.checks.amounts import check_size, movement
from command_service.domain.decisions.checks.business_time import business_time, whole_second
from command_service.domain.decisions.checks.movement_ids import check_new
from command_service.domain.decisions.checks.pieces import named_pieces
from command_service.domain.decisions.place_order import decide_place_order
from command_service.domain.events import OrderCreated, OrderImported
from command_service.domain.evolve import imported
from command_service.domain.line import OrderLine
from command_service.domain.money import Money
from command_service.domain.movements import Payment, Shipment


def decide_import_order(command: ImportOrder, now: datetime) -> Decision[OrderImported]:
    """Returns ORDER_IMPORTED and the imported order.

    Refuses an order that breaks a rule of PlaceOrder, and payments or shipments that do not fit the order.
    """
    accepted = decide_place_order(command.order, business_time(command.placed_at, now, "the order")).event
    event = OrderImported(
        accepted=accepted,
        payments=_payments(command.payments, accepted, now),
        shipments=_shipments(command.shipments, accepted.lines, now),
        on_hold=command.on_hold,
    )
    return Decision(event, imported(event))


def _payments(payments: tuple[ImportedPayment, ...], accepted: OrderCreated, now: datetime) -> tuple[Payment, ...]:
    recorded: dict[str, Payment] = {}
    currency, paid = accepted.currency, 0
    placed = whole_second(accepted.occurred_at)
    for payment in payments:
        name = f"payment {payment.payment_id!r}"
        check_new("payment_id", payment.payment_id, recorded)
        amount = movement(payment.amount, currency, name)
        paid += amount
        check_size(Money(currency, paid), "the sum of the payments")
        recorded[payment.payment_id] = Payment(
            payment_id=payment.payment_id,
            amount=amount,
            method=payment.method,
            reference=payment.reference,
            paid_at=business_time(payment.paid_at, now, name, after=placed, event="the order was placed"),
        )
    return tuple(recorded.values())


def _shipments(shipments: tuple[Shipment, ...], lines: tuple[OrderLine, ...], now: datetime) -> tuple[Shipment, ...]:
    recorded: dict[str, Shipment] = {}
    left = {line.line_number: line.quantity for line in lines}
    for shipment in shipments:
        name = f"shipment {shipment.shipment_id!r}"
        check_new("shipment_id", shipment.shipment_id, recorded)
        business_time(shipment.shipped_at, now, name)
        if shipment.delivered_at is not None:
            business_time(shipment.delivered_at, now, f"the delivery of {name}")
        items = named_pieces(lines, shipment.items, lambda line: left[line.line_number], rules.OPEN_PIECES_ONLY)
        for item in items:
            left[item.line_number] -= item.quantity
        recorded[shipment.shipment_id] = replace(shipment, items=items)
    return tuple(recorded.values())
