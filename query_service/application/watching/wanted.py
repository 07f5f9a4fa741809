"""Decides which changes a watcher wants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from query_service.application.ports.order_matching import matcher
from query_service.application.ports.order_questions import OrderCriteria
from query_service.projection.project import ProjectedEvent

#: A function that tells whether a watcher wants a change.
Wanted = Callable[[ProjectedEvent], bool]
_REDACTION = "ORDER_REDACTED"


def wanted(criteria: OrderCriteria) -> Wanted:
    """Returns the function for these criteria, which the order must match as it is after the change.

    A redaction takes the order's words and labels away. It is sent whatever words and labels are asked for, because a
    watcher that got the order by them must erase its copy.
    """
    matches = matcher(criteria)
    matches_without_personal_data = matcher(replace(criteria, words=(), lookup_key="", labels=()))

    def is_wanted(change: ProjectedEvent) -> bool:
        is_redaction = change.event["event_type"] == _REDACTION
        return (matches_without_personal_data if is_redaction else matches)(change.order)

    return is_wanted
