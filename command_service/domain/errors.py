"""Defines the refusals of an order. `details` are stable keys with texts, without personal data, for the caller."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from command_service.domain.rules import ORDER_ID_TAKEN, ORDER_NUMBER_TAKEN, Rule


class Refusal(Exception):  # noqa: N818 - a refusal is an answer, not a fault
    """A command that the order's state does not allow. The message says to the caller why, and what to do."""

    def __init__(self, message: str, details: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details: Mapping[str, str] = dict(details or {})


class RuleViolated(Refusal):
    """A rule forbids the command. The message says what the command needs, what the order is, and what to do."""

    def __init__(self, rule: Rule, message: str, details: Mapping[str, str] | None = None) -> None:
        super().__init__(message, details)
        self.rule = rule


class VersionMismatch(Refusal):
    """The caller expected another version of the order."""

    def __init__(self, order_id: UUID, expected: int, current: int) -> None:
        super().__init__(
            f"Order {order_id} is at version {current}, the command expects {expected}; read it and decide again.",
            {"order_id": str(order_id), "expected_version": str(expected), "current_version": str(current)},
        )


class OrderNotFound(Refusal):
    """There is no such order."""

    def __init__(self, order_id: UUID) -> None:
        super().__init__(f"There is no order {order_id}; check the id.", {"order_id": str(order_id)})


def order_id_taken(order_id: UUID) -> RuleViolated:
    """Returns the refusal of an order id that names another order."""
    details = {"order_id": str(order_id)}
    message = f"An order {order_id} exists already; use another order id, or retry with the first request id."
    return RuleViolated(ORDER_ID_TAKEN, message, details)


def order_number_taken(order_number: str, source: str) -> RuleViolated:
    """Returns the refusal of an order number that names another order of the source."""
    return RuleViolated(
        ORDER_NUMBER_TAKEN,
        f"The source {source!r} has an order number {order_number} already; use another number,"
        " or retry with the first request id.",
        {"order_number": order_number, "source": source},
    )
