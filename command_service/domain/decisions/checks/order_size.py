"""Builds the refusal of an order whose later events might be too large to be published."""

from __future__ import annotations

from command_service.domain import rules
from command_service.domain.errors import RuleViolated


def order_too_large(size: int, limit: int) -> RuleViolated:
    """Returns the refusal. `size` is that of the largest event that the order may need, in bytes like `limit`."""
    return RuleViolated(
        rules.ORDER_SIZE,
        f"An event of this order may need {size} bytes; it has room for {limit}."
        " Use fewer lines or labels, or shorter names, SKUs, addresses and notes, or change fewer of them at once.",
        {"size": str(size), "limit": str(limit)},
    )
