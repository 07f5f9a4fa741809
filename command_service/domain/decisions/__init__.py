"""State, command and time → events, or a refusal. One module per command; `decide` is the way in."""

from __future__ import annotations

from datetime import datetime

from command_service.domain.commands import (
    CancelOrder,
    ChangeShippingAddress,
    Command,
    HoldOrder,
    ImportOrder,
    OrderChange,
    PlaceOrder,
    RecordDelivery,
    RecordPayment,
    RefundOrder,
    ReleaseOrder,
    ReturnItems,
    ReviseOrder,
    ShipOrder,
)
from command_service.domain.decisions.cancel_order import decide_cancel_order
from command_service.domain.decisions.change_shipping_address import decide_change_shipping_address
from command_service.domain.decisions.hold_order import decide_hold_order
from command_service.domain.decisions.import_order import decide_import_order
from command_service.domain.decisions.place_order import decide_place_order
from command_service.domain.decisions.record_delivery import decide_record_delivery
from command_service.domain.decisions.record_payment import decide_record_payment
from command_service.domain.decisions.refund_order import decide_refund_order
from command_service.domain.decisions.release_order import decide_release_order
from command_service.domain.decisions.return_items import decide_return_items
from command_service.domain.decisions.revise_order import decide_revise_order
from command_service.domain.decisions.ship_order import decide_ship_order
from command_service.domain.errors import OrderNotFound
from command_service.domain.events import Event
from command_service.domain.order import Order

__all__ = ["decide"]


def decide(state: Order | None, command: Command, now: datetime) -> tuple[Event, ...]:
    """What `command` makes happen to the order at `now`; `state` is None for an order that does not exist.

    At least one event; raises Refusal when the state does not allow the command, OrderNotFound when there is no order
    to change.
    """
    if isinstance(command, PlaceOrder):
        return decide_place_order(state, command, now)
    if isinstance(command, ImportOrder):
        return decide_import_order(state, command, now)
    if state is None:
        raise OrderNotFound(command.order_id)
    return _decide_change(state, command, now)


def _decide_change(state: Order, command: OrderChange, now: datetime) -> tuple[Event, ...]:
    match command:
        case ReviseOrder():
            return decide_revise_order(state, command, now)
        case ChangeShippingAddress():
            return decide_change_shipping_address(state, command, now)
        case RecordPayment():
            return decide_record_payment(state, command, now)
        case ShipOrder():
            return decide_ship_order(state, command, now)
        case RecordDelivery():
            return decide_record_delivery(state, command, now)
        case CancelOrder():
            return decide_cancel_order(state, command, now)
        case ReturnItems():
            return decide_return_items(state, command, now)
        case RefundOrder():
            return decide_refund_order(state, command, now)
        case HoldOrder():
            return decide_hold_order(state, now)
        case ReleaseOrder():
            return decide_release_order(state, now)
