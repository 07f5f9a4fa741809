"""Decides PlaceOrder, and checks the rules on lines, amounts and totals."""

from __future__ import annotations

from datetime import datetime

from command_service.domain import rules
from command_service.domain.commands import NewLine, PlaceOrder
from command_service.domain.decision import Decision
from command_service.domain.decisions.checks.amounts import charge, check_total
from command_service.domain.decisions.label_order import check_label_count
from command_service.domain.errors import RuleViolated
from command_service.domain.events import OrderCreated
from command_service.domain.evolve import created
from command_service.domain.line import OrderLine
from command_service.domain.money import BASIS_POINTS


def decide_place_order(command: PlaceOrder, now: datetime) -> Decision[OrderCreated]:
    """Returns ORDER_CREATED and the new order. Raises RuleViolated for the first rule that the order breaks."""
    lines = new_lines(command.lines)
    if command.labels:
        check_label_count(command.labels)
    currency = command.lines[0].unit_price.currency
    event = OrderCreated(
        order_id=command.order_id,
        order_number=command.identity.order_number,
        source=command.source,
        customer=command.customer,
        shipping_address=command.shipping_address,
        billing_address=command.billing_address or command.shipping_address,
        currency=currency,
        lines=lines,
        freight=charge(command.freight, currency, "the freight"),
        occurred_at=now,
        labels=command.labels,
        note=command.note,
    )
    order = created(event)
    check_total(order, command.expected_total)
    return Decision(event, order)


def new_lines(lines: tuple[NewLine, ...]) -> tuple[OrderLine, ...]:
    """Checks every rule on lines and returns the lines, numbered from 1."""
    if not 1 <= len(lines) <= rules.MAX_LINES:
        message = f"An order needs 1 to {rules.MAX_LINES} lines; this one has {len(lines)}."
        raise RuleViolated(rules.LINE_COUNT, message, {"lines": str(len(lines))})
    currency = lines[0].unit_price.currency
    return tuple(_new_line(number, line, currency) for number, line in enumerate(lines, start=1))


def _new_line(number: int, line: NewLine, currency: str) -> OrderLine:
    where = {"line_number": str(number)}
    if not 1 <= line.quantity <= rules.MAX_QUANTITY:
        message = f"Line {number} needs 1 to {rules.MAX_QUANTITY} pieces; it has {line.quantity}."
        raise RuleViolated(rules.QUANTITY_RANGE, message, where)
    for name, rate in (("discount", line.discount_basis_points), ("tax rate", line.tax_rate_basis_points)):
        if not 0 <= rate <= BASIS_POINTS:
            message = f"The {name} of line {number} must be 0 to {BASIS_POINTS} basis points; it is {rate}."
            raise RuleViolated(rules.RATE_RANGE, message, where)
    return OrderLine(
        line_number=number,
        sku=line.sku,
        product_name=line.product_name,
        unit_price=charge(line.unit_price, currency, f"the unit price of line {number}"),
        quantity=line.quantity,
        discount_basis_points=line.discount_basis_points,
        tax_rate_basis_points=line.tax_rate_basis_points,
    )
