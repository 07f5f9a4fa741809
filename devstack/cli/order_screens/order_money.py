"""Computes the open amount of an order, which its message does not contain."""

from __future__ import annotations

from google.type.money_pb2 import Money
from tandem.orders.v1.order_types_pb2 import Order, OrderLine

from command_service.domain.money import line_net, tax_on
from query_service.projection.currency import minor_units, units_and_nanos


def open_amount(order: Order) -> Money:
    """Returns the price of the pieces neither cancelled nor returned, and freight, less what was paid and kept."""
    kept = _minor(order.total) - sum(_charged(line, 0) - _charged(line, line.returned_quantity) for line in order.lines)
    missing = max(0, kept - _minor(order.paid_total) + _minor(order.refunded_total))
    units, nanos = units_and_nanos(missing, order.currency_code)
    return Money(currency_code=order.currency_code, units=units, nanos=nanos)


def _charged(line: OrderLine, returned: int) -> int:
    """Returns net and tax in minor units of what is left of a line when so many pieces were returned."""
    quantity = line.quantity - line.cancelled_quantity - returned
    net = line_net(_minor(line.unit_price), quantity, line.discount_basis_points)
    return net + tax_on(net, line.tax_rate_basis_points)


def _minor(value: Money) -> int:
    return minor_units(value.units, value.nanos, value.currency_code)
