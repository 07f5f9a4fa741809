"""Refusals of the aggregate. `details` are stable keys with text values, free of personal data, for the caller."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from command_service.domain.rules import ORDER_ID_TAKEN, ORDER_NUMBER_TAKEN, Rule


class Refusal(Exception):  # noqa: N818 - a refusal is an answer, not a fault
    """A command that the order's state does not allow. The message is one sentence for the caller."""

    def __init__(self, message: str, details: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details: Mapping[str, str] = dict(details or {})


class RuleViolated(Refusal):
    """A rule forbids it; `particulars` says by what, in one sentence."""

    def __init__(self, rule: Rule, particulars: str, details: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{rule.sentence} {particulars}", details)
        self.rule = rule


class VersionMismatch(Refusal):
    """The caller expected another version of the order."""

    def __init__(self, order_id: UUID, expected: int, current: int) -> None:
        super().__init__(
            f"order {order_id} is at version {current}, not {expected}",
            {"order_id": str(order_id), "expected_version": str(expected), "current_version": str(current)},
        )


class OrderNotFound(Refusal):
    """There is no such order."""

    def __init__(self, order_id: UUID) -> None:
        super().__init__(f"there is no order {order_id}", {"order_id": str(order_id)})


def order_id_taken(order_id: UUID) -> RuleViolated:
    """The refusal of an order id that names another order."""
    details = {"order_id": str(order_id)}
    return RuleViolated(ORDER_ID_TAKEN, f"There already is an order {order_id}.", details)


def order_number_taken(order_number: str, source: str) -> RuleViolated:
    """The refusal of an order number that names another order of the source."""
    return RuleViolated(
        ORDER_NUMBER_TAKEN,
        f"There already is an order numbered {order_number} of the source {source!r}.",
        {"order_number": order_number, "source": source},
    )
