"""Decides LabelOrder, which is possible in every state of an order until it is redacted."""

from __future__ import annotations

from datetime import datetime

from command_service.domain import rules
from command_service.domain.commands import LabelOrder
from command_service.domain.decision import Decision, decided
from command_service.domain.errors import RuleViolated
from command_service.domain.events import OrderLabelled
from command_service.domain.labels import Labels
from command_service.domain.order import Order


def decide_label_order(state: Order, command: LabelOrder, now: datetime) -> Decision[OrderLabelled]:
    """Returns ORDER_LABELLED. Refuses a redacted order, and more labels than an order may have."""
    if state.redacted:
        message = "LabelOrder needs an order that is not redacted; the personal data of this one was erased for good."
        raise RuleViolated(rules.LABEL_UNREDACTED_ONLY, message)
    labels = state.labels.changed(command.set_labels, command.remove_labels)
    note = state.note if command.note is None else command.note
    check_label_count(labels)
    event = OrderLabelled(
        labels=labels,
        note=note,
        previous_labels=state.labels.replaced_by(labels),
        previous_note=None if note == state.note else state.note,
        occurred_at=now,
    )
    return decided(state, event)


def check_label_count(labels: Labels) -> None:
    """Raises RuleViolated when these are too many labels for an order."""
    if len(labels) > rules.MAX_LABELS:
        message = f"An order has at most {rules.MAX_LABELS} labels; this one would have {len(labels)}. Remove some."
        raise RuleViolated(rules.LABEL_COUNT, message, {"labels": str(len(labels))})
