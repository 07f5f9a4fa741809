"""Refuses more labels than an order may have."""

from __future__ import annotations

from command_service.domain import rules
from command_service.domain.errors import RuleViolated
from command_service.domain.labels import Labels


def check_label_count(labels: Labels) -> None:
    """Raises RuleViolated when these are too many labels for an order."""
    if len(labels) > rules.MAX_LABELS:
        message = f"An order has at most {rules.MAX_LABELS} labels; this one would have {len(labels)}. Remove some."
        raise RuleViolated(rules.LABEL_COUNT, message, {"labels": str(len(labels))})
