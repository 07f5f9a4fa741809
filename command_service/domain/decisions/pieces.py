"""Which pieces of which lines a command is about."""

from __future__ import annotations

from collections.abc import Callable

from command_service.domain import rules
from command_service.domain.errors import RuleViolated
from command_service.domain.line import OrderLine
from command_service.domain.movements import LineQuantity
from command_service.domain.rules import Rule

#: Pieces of a line that a command may be about.
Available = Callable[[OrderLine], int]


def open_pieces(line: OrderLine) -> int:
    """Pieces that are neither shipped nor cancelled."""
    return line.open_quantity


def returnable_pieces(line: OrderLine) -> int:
    """Pieces that arrived and have not come back."""
    return line.delivered_quantity - line.returned_quantity


def named_pieces(
    lines: tuple[OrderLine, ...], items: tuple[LineQuantity, ...], available: Available, rule: Rule
) -> tuple[LineQuantity, ...]:
    """The items by line number; `rule` refuses more than what is available of a line."""
    by_number = {line.line_number: line for line in lines}
    seen: set[int] = set()
    for item in items:
        where = {"line_number": str(item.line_number)}
        if item.line_number not in by_number:
            raise RuleViolated(rules.LINE_UNKNOWN, f"There is no line {item.line_number}.", where)
        if item.line_number in seen:
            raise RuleViolated(rules.LINE_NAMED_ONCE, f"Line {item.line_number} is named twice.", where)
        seen.add(item.line_number)
        if item.quantity < 1:
            raise RuleViolated(rules.QUANTITY_RANGE, f"Line {item.line_number} is named with {item.quantity}.", where)
        left = available(by_number[item.line_number])
        if item.quantity > left:
            raise RuleViolated(
                rule, f"Of line {item.line_number} that is {left}, not {item.quantity}.", {**where, "left": str(left)}
            )
    return tuple(sorted(items, key=lambda item: item.line_number))


def all_pieces(lines: tuple[OrderLine, ...], available: Available) -> tuple[LineQuantity, ...]:
    """Everything that is available."""
    return tuple(LineQuantity(line.line_number, available(line)) for line in lines if available(line) > 0)
