"""Decides RecordDelivery, which records that a shipment arrived."""

from __future__ import annotations

from datetime import datetime

from command_service.domain import rules
from command_service.domain.commands import RecordDelivery
from command_service.domain.decision import Decision, decided
from command_service.domain.decisions.checks.business_time import business_time
from command_service.domain.errors import RuleViolated
from command_service.domain.events import OrderDelivered
from command_service.domain.order import Order


def decide_record_delivery(state: Order, command: RecordDelivery, now: datetime) -> Decision[OrderDelivered]:
    """Returns ORDER_DELIVERED. Refuses a shipment that is unknown or already delivered, and a wrong time."""
    where = {"shipment_id": command.shipment_id}
    shipment = next((each for each in state.shipments if each.shipment_id == command.shipment_id), None)
    if shipment is None:
        message = f"The order has no shipment {command.shipment_id!r}; read the order for its shipments."
        raise RuleViolated(rules.SHIPMENT_UNKNOWN, message, where)
    if shipment.delivered_at is not None:
        message = f"Shipment {command.shipment_id!r} was delivered already; name a shipment that is on its way."
        raise RuleViolated(rules.DELIVERED_ONCE, message, where)
    delivered_at = business_time(
        command.delivered_at, now, "the delivery", after=shipment.shipped_at, event="the shipment left"
    )
    return decided(state, OrderDelivered(shipment.shipment_id, previous_state=state.state, occurred_at=delivered_at))
