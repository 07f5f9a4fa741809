"""Decides ReviseOrder, which replaces lines and freight before the order is paid."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import datetime

from command_service.domain import rules
from command_service.domain.commands import NewLine, ReviseOrder
from command_service.domain.decision import Decision
from command_service.domain.decisions.checks.amounts import charge, check_currency, check_total
from command_service.domain.decisions.checks.cancelled import check_not_cancelled
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

    Refuses a cancelled, shipped or paid order, lines that break a rule of PlaceOrder, line numbers that the order does
    not have, and a total below what was paid.
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
        lines=_numbered(state.lines, command.lines),
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


def _numbered(old: tuple[OrderLine, ...], asked: tuple[NewLine, ...]) -> tuple[OrderLine, ...]:
    """Returns the asked lines with their numbers, sorted by number.

    A line that gives a number takes the place of that line. Each of the others takes the place of the first line left
    with its SKU. Lines without such a place get numbers above those of all old lines.
    """
    kept = _kept_numbers(old, asked)
    by_sku: defaultdict[str, list[int]] = defaultdict(list)
    for line in reversed(old):
        if line.line_number not in kept:
            by_sku[line.sku].append(line.line_number)
    unused = max(line.line_number for line in old)
    numbered = []
    for line, wanted in zip(new_lines(asked), asked, strict=True):
        if wanted.line_number is not None:
            number = wanted.line_number
        elif by_sku[line.sku]:
            number = by_sku[line.sku].pop()
        else:
            number = unused = unused + 1
        numbered.append(replace(line, line_number=number))
    return tuple(sorted(numbered, key=lambda line: line.line_number))


def _kept_numbers(old: tuple[OrderLine, ...], asked: tuple[NewLine, ...]) -> set[int]:
    """Returns the numbers that the asked lines give. Refuses an unknown number, and one that two lines give."""
    known = {line.line_number for line in old}
    kept: set[int] = set()
    for line in asked:
        number = line.line_number
        if number is None:
            continue
        if number not in known:
            message = f"The order has no line {number}; read the order for its line numbers, or leave the number out."
            raise RuleViolated(rules.LINE_UNKNOWN, message, {"line_number": str(number)})
        if number in kept:
            message = f"Line {number} is named twice; leave the number out of one of the two lines."
            raise RuleViolated(rules.LINE_NAMED_ONCE, message, {"line_number": str(number)})
        kept.add(number)
    return kept
