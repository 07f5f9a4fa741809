"""Situations in which an order can be when a command comes: conditions on the order and the command."""

from __future__ import annotations

from collections.abc import Callable

from command_service.domain.commands import ChangeShippingAddress, Command, ReviseOrder
from command_service.domain.order import Order

Situation = Callable[[Order, Command], bool]


def always(*_: object) -> bool:
    return True


def held(order: Order, _: Command) -> bool:
    return order.on_hold


def shipped_from(order: Order, _: Command) -> bool:
    return any(line.shipped_quantity for line in order.lines)


def under_way(order: Order, _: Command) -> bool:
    """A shipment has not arrived."""
    return any(shipment.delivered_at is None for shipment in order.shipments)


def arrived(order: Order, command: Command) -> bool:
    """All shipments there are have arrived."""
    return bool(order.shipments) and not under_way(order, command)


def at_home(order: Order, _: Command) -> bool:
    """The customer has a piece."""
    return any(line.delivered_quantity > line.returned_quantity for line in order.lines)


def money_due(order: Order, _: Command) -> bool:
    return order.amounts.refund_due > 0


def below_paid(order: Order, command: Command) -> bool:
    """The order would then cost less than what was captured."""
    assert isinstance(command, ReviseOrder)
    return order.freight + command.lines[0].unit_price.minor_units < order.amounts.paid - order.amounts.refunded


def same_terms(order: Order, command: Command) -> bool:
    """The revision asks for the lines and the freight that the order has."""
    assert isinstance(command, ReviseOrder)
    line, asked = order.lines[0], command.lines[0]
    terms = (asked.unit_price.minor_units, asked.quantity, 0)
    return (line.unit_price, line.quantity, line.cancelled_quantity) == terms


def same_address(order: Order, command: Command) -> bool:
    assert isinstance(command, ChangeShippingAddress)
    return command.shipping_address == order.shipping_address


def redacted(order: Order, _: Command) -> bool:
    return order.redacted
