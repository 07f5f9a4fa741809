"""Checks the lines and quantities in a command's items."""

from __future__ import annotations

from collections.abc import Callable

from command_service.domain import rules
from command_service.domain.errors import RuleViolated
from command_service.domain.line import OrderLine
from command_service.domain.movements import LineQuantity
from command_service.domain.rules import Rule

#: Line → how many of its pieces a command may be about.
Available = Callable[[OrderLine], int]
#: Rule → how its message describes the pieces that it allows.
_ALLOWED = {
    rules.OPEN_PIECES_ONLY: "neither shipped nor cancelled",
    rules.RETURN_DELIVERED_ONLY: "delivered and not yet returned",
}


def open_pieces(line: OrderLine) -> int:
    """Returns how many pieces are neither shipped nor cancelled."""
    return line.open_quantity


def returnable_pieces(line: OrderLine) -> int:
    """Returns how many pieces were delivered and not returned."""
    return line.delivered_quantity - line.returned_quantity


def named_pieces(
    lines: tuple[OrderLine, ...], items: tuple[LineQuantity, ...], available: Available, rule: Rule
) -> tuple[LineQuantity, ...]:
    """Checks the items of a command and returns them sorted by line number.

    Refuses an unknown line, a line named twice, less than 1 piece, and more pieces than `available` gives for the line.
    `rule` is the rule of the last refusal.
    """
    by_number = {line.line_number: line for line in lines}
    seen: set[int] = set()
    for item in items:
        where = {"line_number": str(item.line_number)}
        if item.line_number not in by_number:
            message = f"The order has no line {item.line_number}; read the order for its line numbers."
            raise RuleViolated(rules.LINE_UNKNOWN, message, where)
        if item.line_number in seen:
            message = f"Line {item.line_number} is named twice; name it once, with the sum of the pieces."
            raise RuleViolated(rules.LINE_NAMED_ONCE, message, where)
        seen.add(item.line_number)
        if item.quantity < 1:
            message = f"Line {item.line_number} is named with {item.quantity} pieces; name 1 or more, or leave it out."
            raise RuleViolated(rules.QUANTITY_RANGE, message, where)
        left = available(by_number[item.line_number])
        if item.quantity > left:
            message = (
                f"The command names {item.quantity} pieces of line {item.line_number}; {_ALLOWED[rule]}: {left}."
                f" {f'Name at most {left}.' if left else 'Leave the line out.'}"
            )
            raise RuleViolated(rule, message, {**where, "left": str(left)})
    return tuple(sorted(items, key=lambda item: item.line_number))


def all_pieces(lines: tuple[OrderLine, ...], available: Available) -> tuple[LineQuantity, ...]:
    """Returns an item with all available pieces for each line that has any."""
    return tuple(LineQuantity(line.line_number, available(line)) for line in lines if available(line) > 0)
