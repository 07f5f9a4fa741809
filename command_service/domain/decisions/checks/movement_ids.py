"""Checks the ids that callers choose for payments, shipments, returns and refunds."""

from __future__ import annotations

from collections.abc import Iterable

from command_service.domain import rules
from command_service.domain.errors import RuleViolated


def check_new(name: str, value: str, taken: Iterable[str]) -> None:
    """Refuses `value` if it is one of the ids in `taken`. `name` is the request's field: `payment_id`."""
    if value in taken:
        kind = name.removesuffix("_id")
        message = f"The order has a {kind} {value!r} already; use another {name}, or retry with the first request id."
        raise RuleViolated(rules.MOVEMENT_ID_TAKEN, message, {name: value})
