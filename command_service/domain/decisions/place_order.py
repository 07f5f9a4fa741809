"""Accepting a new order: every rule on lines, amounts and totals."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from command_service.domain import rules
from command_service.domain.commands import NewLine, PlaceOrder
from command_service.domain.decisions.amounts import charge, check_total
from command_service.domain.errors import RuleViolated
from command_service.domain.events import OrderCreated
from command_service.domain.evolve import evolve
from command_service.domain.line import OrderLine
from command_service.domain.money import BASIS_POINTS
from command_service.domain.order import Order
from command_service.domain.order_number import order_number_of


def decide_place_order(state: Order | None, command: PlaceOrder, now: datetime) -> tuple[OrderCreated]:
    """ORDER_CREATED, or the first rule that forbids it."""
    if state is not None:
        raise order_id_taken(command.order_id)
    lines = new_lines(command.lines)
    currency = command.lines[0].unit_price.currency
    event = OrderCreated(
        order_id=command.order_id,
        order_number=number_of(command),
        source=command.source,
        customer=command.customer,
        shipping_address=command.shipping_address,
        billing_address=command.billing_address or command.shipping_address,
        currency=currency,
        lines=lines,
        freight=charge(command.freight, currency, "the freight"),
        occurred_at=now,
    )
    check_total(evolve(None, event), command.expected_total)
    return (event,)


def number_of(command: PlaceOrder) -> str:
    """The number of the order to be: the one that the caller chose, or the one made of its id."""
    return command.order_number or order_number_of(command.order_id)


def order_id_taken(order_id: UUID) -> RuleViolated:
    """The refusal of an order id that names another order."""
    details = {"order_id": str(order_id)}
    return RuleViolated(rules.ORDER_ID_TAKEN, f"There already is an order {order_id}.", details)


def order_number_taken(order_number: str, source: str) -> RuleViolated:
    """The refusal of an order number that names another order of the source."""
    return RuleViolated(
        rules.ORDER_NUMBER_TAKEN,
        f"There already is an order numbered {order_number} of the source {source!r}.",
        {"order_number": order_number, "source": source},
    )


def new_lines(lines: tuple[NewLine, ...]) -> tuple[OrderLine, ...]:
    """The lines numbered from 1, all rules on them held."""
    if not 1 <= len(lines) <= rules.MAX_LINES:
        raise RuleViolated(rules.LINE_COUNT, f"This one would have {len(lines)}.", {"lines": str(len(lines))})
    currency = lines[0].unit_price.currency
    return tuple(_new_line(number, line, currency) for number, line in enumerate(lines, start=1))


def _new_line(number: int, line: NewLine, currency: str) -> OrderLine:
    where = {"line_number": str(number)}
    if not 1 <= line.quantity <= rules.MAX_QUANTITY:
        raise RuleViolated(rules.QUANTITY_RANGE, f"Line {number} asks for {line.quantity}.", where)
    for name, rate in (("discount", line.discount_basis_points), ("tax rate", line.tax_rate_basis_points)):
        if not 0 <= rate <= BASIS_POINTS:
            raise RuleViolated(rules.RATE_RANGE, f"The {name} of line {number} is {rate}.", where)
    return OrderLine(
        line_number=number,
        sku=line.sku,
        product_name=line.product_name,
        unit_price=charge(line.unit_price, currency, f"the unit price of line {number}"),
        quantity=line.quantity,
        discount_basis_points=line.discount_basis_points,
        tax_rate_basis_points=line.tax_rate_basis_points,
    )
