"""Decides ChangeShippingAddress, which is possible until the first shipment."""

from __future__ import annotations

from datetime import datetime

from command_service.domain import rules
from command_service.domain.commands import ChangeShippingAddress
from command_service.domain.decision import Decision, decided
from command_service.domain.decisions.checks.cancelled import check_not_cancelled
from command_service.domain.errors import RuleViolated
from command_service.domain.events import OrderShippingAddressChanged
from command_service.domain.order import Order


def decide_change_shipping_address(
    state: Order, command: ChangeShippingAddress, now: datetime
) -> Decision[OrderShippingAddressChanged]:
    """Returns ORDER_SHIPPING_ADDRESS_CHANGED. Refuses an order that is redacted, cancelled or partly shipped."""
    if state.redacted:
        message = (
            "ChangeShippingAddress needs an order that is not redacted; the personal data of this one was erased for"
            " good. Cancel what is not shipped and place a new order under another customer id."
        )
        raise RuleViolated(rules.ADDRESS_UNREDACTED_ONLY, message)
    check_not_cancelled(state, "ChangeShippingAddress")
    if state.quantities.shipped > 0:
        message = (
            f"ChangeShippingAddress needs an order without shipments; this one is {state.fulfillment_state}."
            " Cancel what is not shipped and place a new order for the other address."
        )
        raise RuleViolated(rules.ADDRESS_UNTIL_SHIPPED, message)
    event = OrderShippingAddressChanged(
        shipping_address=command.shipping_address,
        previous_shipping_address=state.shipping_address,
        occurred_at=now,
    )
    return decided(state, event)
