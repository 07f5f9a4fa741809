"""Defines the domain's refusals of a command."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from command_service.domain.rules import CUSTOMER_REDACTED, ORDER_ID_TAKEN, ORDER_NUMBER_TAKEN, Rule


class Refusal(Exception):  # noqa: N818 - a refusal is an answer, not a fault
    """The domain does not allow the command. The message tells the caller why, and what to do.

    `details` are texts under stable keys, for programs. They contain no personal data.
    """

    def __init__(self, message: str, details: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details: Mapping[str, str] = dict(details or {})


class RuleViolated(Refusal):
    """A business rule forbids the command. The message says what the command needs and what it found instead."""

    def __init__(self, rule: Rule, message: str, details: Mapping[str, str] | None = None) -> None:
        super().__init__(message, details)
        self.rule = rule


class VersionMismatch(Refusal):
    """The order is not at the version that the caller expected."""

    def __init__(self, order_id: UUID, expected: int, current: int) -> None:
        super().__init__(
            f"Order {order_id} is at version {current}, the command expects {expected}; read it and decide again.",
            {"order_id": str(order_id), "expected_version": str(expected), "current_version": str(current)},
        )


class OrderNotFound(Refusal):
    """No order has the id in the command."""

    def __init__(self, order_id: UUID) -> None:
        super().__init__(f"There is no order {order_id}; check the id.", {"order_id": str(order_id)})


class CustomerNotFound(Refusal):
    """No order has named the customer in the command."""

    def __init__(self, customer_id: str) -> None:
        super().__init__(f"There is no customer {customer_id!r}; check the id.", {"customer_id": customer_id})


def customer_redacted(customer_id: str) -> RuleViolated:
    """Returns the refusal of a new order of a customer whose data was erased."""
    return RuleViolated(
        CUSTOMER_REDACTED,
        f"The data of the customer {customer_id!r} was erased, so a new order must not bring it back;"
        " use another customer id.",
        {"customer_id": customer_id},
    )


def order_id_taken(order_id: UUID) -> RuleViolated:
    """Returns the refusal of a new order whose id another order has."""
    details = {"order_id": str(order_id)}
    message = f"An order {order_id} exists already; use another order id, or retry with the first request id."
    return RuleViolated(ORDER_ID_TAKEN, message, details)


def order_number_taken(order_number: str, source: str) -> RuleViolated:
    """Returns the refusal of a new order whose number another order of the same source has."""
    return RuleViolated(
        ORDER_NUMBER_TAKEN,
        f"The source {source!r} has an order number {order_number} already; use another number,"
        " or retry with the first request id.",
        {"order_number": order_number, "source": source},
    )
