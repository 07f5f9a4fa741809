"""Decides commands: from an order, a command and a time follows a decision or a refusal. One module per command."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from command_service.domain.commands import (
    CancelOrder,
    ChangeShippingAddress,
    HoldOrder,
    ImportOrder,
    LabelOrder,
    NewOrder,
    OrderChange,
    RecordDelivery,
    RecordPayment,
    RedactOrder,
    RefundOrder,
    ReleaseOrder,
    ReturnItems,
    ReviseOrder,
    ShipOrder,
)
from command_service.domain.decision import Decision
from command_service.domain.decisions.cancel_order import decide_cancel_order
from command_service.domain.decisions.change_shipping_address import decide_change_shipping_address
from command_service.domain.decisions.hold_order import decide_hold_order
from command_service.domain.decisions.import_order import decide_import_order
from command_service.domain.decisions.label_order import decide_label_order
from command_service.domain.decisions.place_order import decide_place_order
from command_service.domain.decisions.record_delivery import decide_record_delivery
from command_service.domain.decisions.record_payment import decide_record_payment
from command_service.domain.decisions.redact_order import decide_redact_order
from command_service.domain.decisions.refund_order import decide_refund_order
from command_service.domain.decisions.release_order import decide_release_order
from command_service.domain.decisions.return_items import decide_return_items
from command_service.domain.decisions.revise_order import decide_revise_order
from command_service.domain.decisions.ship_order import decide_ship_order
from command_service.domain.events import FirstEvent, LaterEvent
from command_service.domain.order import Order

__all__ = ["decide", "decide_new"]

#: Type of command that changes an order → the function that decides it.
CHANGES: Mapping[type[OrderChange], Callable[[Order, Any, datetime], Decision[LaterEvent]]] = {
    ReviseOrder: decide_revise_order,
    ChangeShippingAddress: decide_change_shipping_address,
    RecordPayment: decide_record_payment,
    ShipOrder: decide_ship_order,
    RecordDelivery: decide_record_delivery,
    CancelOrder: decide_cancel_order,
    ReturnItems: decide_return_items,
    RefundOrder: decide_refund_order,
    HoldOrder: decide_hold_order,
    ReleaseOrder: decide_release_order,
    LabelOrder: decide_label_order,
    RedactOrder: decide_redact_order,
}


def decide_new(command: NewOrder, now: datetime) -> Decision[FirstEvent]:
    """Decides a command that creates an order at `now`. Raises RuleViolated when the order would break a rule.

    Storage checks whether the order's id or number is taken, because a decision does not see other orders.
    """
    if isinstance(command, ImportOrder):
        return decide_import_order(command, now)
    return decide_place_order(command, now)


def decide(state: Order, command: OrderChange, now: datetime) -> Decision[LaterEvent]:
    """Decides a command on an existing order at `now`. Raises RuleViolated when the order does not allow it."""
    return CHANGES[type(command)](state, command, now)
