"""Every reason of the contract has its exception, and a refusal comes back as it was sent."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import grpc
import pytest
from tandem.orders.errors import (
    ERROR_DOMAIN,
    EXCEPTIONS,
    WITHOUT_REASON,
    Conflict,
    DeadlineExceeded,
    FieldViolation,
    InvalidRequest,
    OrderError,
    RuleViolated,
    VersionMismatch,
    error_status,
    from_rpc_error,
    from_status,
    reason_text,
)
from tandem.orders.v1.error_reason_pb2 import ErrorReason

from service_runtime.edge.request_validation import InvalidRequest as RefusedRequest
from service_runtime.edge.request_validation import Violation

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


SKU, REQUEST_ID = FieldViolation("lines[0].sku", "is required"), FieldViolation("request_id", "is no UUID")
WHOLE = FieldViolation("", "is no message of this kind")


@pytest.mark.parametrize(
    ("message", "violations", "text"),
    [
        ("bad request", [REQUEST_ID], "bad request; request_id is no UUID"),
        ("bad request: request_id is no UUID", [REQUEST_ID], "bad request: request_id is no UUID"),
        (
            "2 fields: lines[0].sku is required",
            [SKU, REQUEST_ID],
            "2 fields: lines[0].sku is required; request_id is no UUID",
        ),
        ("bad request", [SKU, REQUEST_ID], "bad request; lines[0].sku is required; request_id is no UUID"),
        ("the encoding is no message of this kind", [WHOLE], "the encoding is no message of this kind"),
        ("bad request", [WHOLE], "bad request; is no message of this kind"),
        ("bad request", [], "bad request"),
    ],
)
def test_the_text_of_a_refusal_names_each_field_once(message: str, violations: list[FieldViolation], text: str) -> None:
    assert str(InvalidRequest(grpc.StatusCode.INVALID_ARGUMENT, message, violations=violations)) == text


@pytest.mark.parametrize("violations", [[SKU], [SKU, REQUEST_ID], [WHOLE]])
def test_what_the_services_say_is_said_once(violations: list[FieldViolation]) -> None:
    refusal = RefusedRequest([Violation(each.field, each.description) for each in violations])
    text = str(InvalidRequest(grpc.StatusCode.INVALID_ARGUMENT, str(refusal), violations=violations))
    assert [text.count(each.description) for each in violations] == [1] * len(violations)


class Failed(grpc.RpcError):
    """What a stub raises."""

    def __init__(self, code: grpc.StatusCode, details: str | None, trailing: Any = ()) -> None:
        self._code, self._details, self._trailing = code, details, trailing

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str | None:
        return self._details

    def trailing_metadata(self) -> Any:
        return self._trailing


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
@pytest.mark.parametrize(
    "trailing", [None, (), (("grpc-status-details-bin", b"\xff"),)], ids=["none", "empty", "broken"]
)
def test_a_failure_without_a_reason_goes_by_its_code(code: grpc.StatusCode, trailing: Any) -> None:
    error = from_rpc_error(Failed(code, None, trailing))
    assert (type(error), error.code, error.message) == (WITHOUT_REASON.get(code, OrderError), code, "")
    assert error.reason == ""


def test_details_that_do_not_agree_with_the_call_are_passed_over() -> None:
    rich = error_status(grpc.StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_ORDER_NOT_FOUND, "no such order")
    failed = Failed(grpc.StatusCode.DEADLINE_EXCEEDED, "late", (("grpc-status-details-bin", rich.SerializeToString()),))
    assert type(from_rpc_error(failed)) is DeadlineExceeded


def test_a_status_is_read_as_far_as_it_can_be() -> None:
    sent = error_status(
        grpc.StatusCode.ABORTED,
        ErrorReason.ERROR_REASON_CONFLICT,
        "no",
        violations=[SKU],
        retry_delay=timedelta(seconds=1),
    )
    for detail in sent.details[1:]:
        detail.value = b"\xff"
    sent.code = 99
    error = from_status(sent)
    assert (type(error), error.code) == (Conflict, grpc.StatusCode.UNKNOWN)
    assert (error.violations, error.retry_delay) == ((), None)


def test_a_reason_of_another_system_is_not_mistaken_for_ours() -> None:
    status = error_status(grpc.StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_ORDER_NOT_FOUND, "no")
    detail = status.details[0]
    detail.value = detail.value.replace(ERROR_DOMAIN.encode(), b"x" * len(ERROR_DOMAIN))
    assert type(from_status(status)) is OrderError
