"""Ids of payments, shipments, returns and refunds, chosen by callers."""

from __future__ import annotations

from collections.abc import Iterable

from command_service.domain import rules
from command_service.domain.errors import RuleViolated


def check_new(name: str, value: str, taken: Iterable[str]) -> None:
    """`value` is not `taken`; `name` is the field it stands in: `payment_id`."""
    if value in taken:
        kind = name.removesuffix("_id")
        raise RuleViolated(rules.MOVEMENT_ID_TAKEN, f"The order already has a {kind} {value!r}.", {name: value})
