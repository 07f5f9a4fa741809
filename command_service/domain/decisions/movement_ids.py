"""Ids of payments, shipments, returns and refunds, chosen by callers."""

from __future__ import annotations

from collections.abc import Iterable

from command_service.domain import rules
from command_service.domain.errors import RuleViolated


def check_new(name: str, value: str, taken: Iterable[str]) -> None:
    """`value` is not `taken`; `name` is the field it stands in: `payment_id`."""
    if value in taken:
        kind = name.removesuffix("_id")
        message = f"The order has a {kind} {value!r} already; use another {name}, or retry with the first request id."
        raise RuleViolated(rules.MOVEMENT_ID_TAKEN, message, {name: value})
