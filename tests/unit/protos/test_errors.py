"""Every reason of the contract has its exception, and a refusal comes back as it was sent."""

from __future__ import annotations

from datetime import timedelta

import grpc
import pytest
from tandem.orders.errors import (
    ERROR_DOMAIN,
    EXCEPTIONS,
    FieldViolation,
    InvalidRequest,
    OrderError,
    RuleViolated,
    VersionMismatch,
    error_status,
    from_status,
    reason_text,
)
from tandem.orders.v1.error_reason_pb2 import ErrorReason

REASONS = [value for value in ErrorReason.values() if value]


def test_every_reason_has_exactly_one_exception() -> None:
    assert {reason_text(reason) for reason in REASONS} == set(EXCEPTIONS)
    assert len(set(EXCEPTIONS.values())) == len(EXCEPTIONS)


@pytest.mark.parametrize("reason", REASONS, ids=reason_text)
def test_a_refusal_comes_back_as_it_was_sent(reason: ErrorReason.ValueType) -> None:
    sent = error_status(
        grpc.StatusCode.ABORTED,
        reason,
        "no",
        metadata={"key": "value"},
        violations=[FieldViolation("lines[0].sku", "is empty")],
        retry_delay=timedelta(milliseconds=250),
    )
    error = from_status(sent)
    assert type(error) is EXCEPTIONS[reason_text(reason)]
    assert error.code is grpc.StatusCode.ABORTED
    assert (error.message, error.metadata) == ("no", {"key": "value"})
    assert error.violations == (FieldViolation("lines[0].sku", "is empty"),)
    assert error.retry_delay == timedelta(milliseconds=250)


def test_a_broken_rule_is_named() -> None:
    status = error_status(
        grpc.StatusCode.FAILED_PRECONDITION,
        ErrorReason.ERROR_REASON_RULE_VIOLATED,
        "too late",
        metadata={"rule": "not-after-shipment"},
    )
    error = from_status(status)
    assert isinstance(error, RuleViolated)
    assert error.rule == "not-after-shipment"


def test_a_version_mismatch_tells_the_version() -> None:
    status = error_status(
        grpc.StatusCode.ABORTED,
        ErrorReason.ERROR_REASON_VERSION_MISMATCH,
        "changed",
        metadata={"current_version": "4"},
    )
    error = from_status(status)
    assert isinstance(error, VersionMismatch)
    assert error.current_version == 4


def test_the_text_of_a_refusal_names_the_fields() -> None:
    error = InvalidRequest(
        grpc.StatusCode.INVALID_ARGUMENT, "bad request", violations=[FieldViolation("request_id", "is no UUID")]
    )
    assert str(error) == "bad request; request_id: is no UUID"


def test_a_reason_of_another_system_is_not_mistaken_for_ours() -> None:
    status = error_status(grpc.StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_ORDER_NOT_FOUND, "no")
    detail = status.details[0]
    detail.value = detail.value.replace(ERROR_DOMAIN.encode(), b"x" * len(ERROR_DOMAIN))
    assert type(from_status(status)) is OrderError
