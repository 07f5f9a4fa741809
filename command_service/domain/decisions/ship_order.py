"""Decides ShipOrder, which records that goods left."""

from __future__ import annotations

from datetime import datetime

from command_service.domain import rules
from command_service.domain.commands import ShipOrder
from command_service.domain.decision import Decision, decided
from command_service.domain.decisions.checks.business_time import business_time
from command_service.domain.decisions.checks.cancelled import check_not_cancelled
from command_service.domain.decisions.checks.movement_ids import check_new
from command_service.domain.decisions.checks.pieces import all_pieces, named_pieces, open_pieces
from command_service.domain.errors import RuleViolated
from command_service.domain.events import OrderShipped
from command_service.domain.money import Money, decimal_text
from command_service.domain.movements import Shipment
from command_service.domain.order import Order
from command_service.domain.states import OrderState


def decide_ship_order(state: Order, command: ShipOrder, now: datetime) -> Decision[OrderShipped]:
    """Returns ORDER_SHIPPED.

    Refuses a cancelled order, one with no or too few pieces left to ship, one on hold, and one that is not paid.
    """
    check_not_cancelled(state, "ShipOrder")
    if state.quantities.open == 0:
        message = f"ShipOrder needs pieces that are not shipped; this order is {state.state} and has none left."
        raise RuleViolated(rules.OPEN_PIECES_ONLY, message, {"state": state.state})
    if state.on_hold:
        message = f"ShipOrder needs an order that is not on hold; this one is {state.state} on hold. Release it first."
        raise RuleViolated(rules.SHIP_NOT_ON_HOLD, message)
    if state.state is not OrderState.PAID:
        missing = Money(state.currency, state.amounts.kept - state.amounts.paid + state.amounts.refunded)
        message = (
            f"ShipOrder needs a paid order; this one is {state.state} with {decimal_text(missing)} open."
            " Record the payment first."
        )
        raise RuleViolated(rules.SHIP_PAID_ONLY, message, {"state": state.state})
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
