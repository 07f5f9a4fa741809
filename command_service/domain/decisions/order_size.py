"""Limits an order's size so that everything that happens to it can be recorded."""

from __future__ import annotations

from command_service.domain import rules
from command_service.domain.errors import RuleViolated


def order_too_large(size: int, limit: int) -> RuleViolated:
    """Returns the refusal of an order that would leave too little room. Sizes in bytes of an event."""
    return RuleViolated(
        rules.ORDER_SIZE,
        f"An event of this order may need {size} bytes; it has room for {limit}."
        " Use fewer lines or shorter names, SKUs and addresses, or revise fewer lines at once.",
        {"size": str(size), "limit": str(limit)},
    )
