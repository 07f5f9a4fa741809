"""Decides ReviseOrder, which replaces lines and freight before the order is paid."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import datetime

from command_service.domain import rules
from command_service.domain.commands import ReviseOrder
from command_service.domain.decision import Decision
from command_service.domain.decisions.amounts import charge, check_currency, check_total
from command_service.domain.decisions.cancelled import check_not_cancelled
from command_service.domain.decisions.place_order import new_lines
from command_service.domain.errors import RuleViolated
from command_service.domain.events import OrderRevised
from command_service.domain.evolve import evolve
from command_service.domain.line import OrderLine
from command_service.domain.money import Money, decimal_text
from command_service.domain.order import Order
from command_service.domain.states import OrderState

_INSTEAD = "Cancel pieces with CancelOrder, or place another order."


def decide_revise_order(state: Order, command: ReviseOrder, now: datetime) -> Decision[OrderRevised]:
    """Returns ORDER_REVISED.

    Refuses a cancelled, shipped or paid order, lines that break a rule of PlaceOrder, and a total below what was paid.
    """
    check_not_cancelled(state, "ReviseOrder")
    if state.quantities.shipped > 0:
        message = f"ReviseOrder needs an order without shipments; this one is {state.fulfillment_state}. {_INSTEAD}"
        raise RuleViolated(rules.REVISE_UNSHIPPED_ONLY, message)
    if state.state is not OrderState.PLACED:
        message = f"ReviseOrder needs an unpaid order; this one is {state.state}. {_INSTEAD}"
        raise RuleViolated(rules.REVISE_UNPAID_ONLY, message, {"state": state.state})
    for line in command.lines[:1]:
        check_currency(line.unit_price, state.currency, "the unit price of line 1")
    unchanged = command.freight is None
    event = OrderRevised(
        lines=_numbered(state.lines, new_lines(command.lines)),
        freight=state.freight if unchanged else charge(command.freight, state.currency, "the freight"),
        previous_lines=state.lines,
        previous_freight=state.freight,
        previous_total=state.total,
        occurred_at=now,
    )
    revised = evolve(state, event)
    check_total(revised, command.expected_total)
    captured = state.amounts.paid - state.amounts.refunded
    if revised.total < captured:
        paid, total = (decimal_text(Money(state.currency, amount)) for amount in (captured, revised.total))
        message = (
            f"ReviseOrder needs a total of at least {paid}, which was paid; it would be {total}."
            " Use CancelOrder instead; what was paid for the pieces is then due back."
        )
        raise RuleViolated(rules.REVISE_NOT_BELOW_PAID, message, {"paid": paid, "total": total})
    return Decision(event, revised)


def _numbered(old: tuple[OrderLine, ...], new: tuple[OrderLine, ...]) -> tuple[OrderLine, ...]:
    """Numbers the new lines: a line whose SKU an old line has keeps that number, the others get unused higher ones."""
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    for line in reversed(old):
        numbers[line.sku].append(line.line_number)
    unused = max(line.line_number for line in old)
    numbered = []
    for line in new:
        if numbers[line.sku]:
            number = numbers[line.sku].pop()
        else:
            number = unused = unused + 1
        numbered.append(replace(line, line_number=number))
    return tuple(sorted(numbered, key=lambda line: line.line_number))
