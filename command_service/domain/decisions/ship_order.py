"""Recording goods that left."""

from __future__ import annotations

from datetime import datetime

from command_service.domain import rules
from command_service.domain.commands import ShipOrder
from command_service.domain.decision import Decision, decided
from command_service.domain.decisions.business_time import business_time
from command_service.domain.decisions.cancelled import check_not_cancelled
from command_service.domain.decisions.movement_ids import check_new
from command_service.domain.decisions.pieces import all_pieces, named_pieces, open_pieces
from command_service.domain.errors import RuleViolated
from command_service.domain.events import OrderShipped
from command_service.domain.movements import Shipment
from command_service.domain.order import Order
from command_service.domain.states import OrderState


def decide_ship_order(state: Order, command: ShipOrder, now: datetime) -> Decision[OrderShipped]:
    """ORDER_SHIPPED, unless the order is cancelled, shipped, on hold or not paid, or has not so many pieces left."""
    check_not_cancelled(state)
    if state.quantities.open == 0:
        raise RuleViolated(rules.OPEN_PIECES_ONLY, "This order has none left.", {"state": state.state})
    if state.on_hold:
        raise RuleViolated(rules.SHIP_NOT_ON_HOLD, "This one is held; release it first.")
    if state.state is not OrderState.PAID:
        raise RuleViolated(rules.SHIP_PAID_ONLY, f"This one is {state.state}.", {"state": state.state})
    check_new("shipment_id", command.shipment_id, (shipment.shipment_id for shipment in state.shipments))
    items = named_pieces(state.lines, command.items, open_pieces, rules.OPEN_PIECES_ONLY)
    shipment = Shipment(
        shipment_id=command.shipment_id,
        items=items or all_pieces(state.lines, open_pieces),
        carrier=command.carrier,
        tracking_number=command.tracking_number,
        shipped_at=business_time(command.shipped_at, now, "the shipment"),
    )
    return decided(state, OrderShipped(shipment, previous_state=state.state))
