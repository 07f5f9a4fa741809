"""Refusals and failures → what callers get: the one table, and the answer to what stands in no table."""

from __future__ import annotations

import traceback
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
import structlog
from google.rpc import status_pb2
from tandem.orders.consistency_token import MalformedToken
from tandem.orders.errors import FieldViolation, error_status
from tandem.orders.v1 import error_reason_pb2 as reasons
from tandem.orders.v1.error_reason_pb2 import ErrorReason

from query_service.application.ports import errors
from service_runtime.edge.request_validation import InvalidRequest

_log = structlog.get_logger(__name__)
Code = grpc.StatusCode


class NotImplementedYet(Exception):  # noqa: N818 - says what happened
    """The method is part of the contract and not served yet."""

    def __init__(self, method: str) -> None:
        super().__init__(f"{method} is part of the contract and not served yet")


class Overloaded(Exception):  # noqa: N818
    """More calls at once than this process takes on."""

    def __init__(self) -> None:
        super().__init__("this replica takes no more calls at once; come back a moment later")


class OutOfTime(Exception):  # noqa: N818
    """The call's time ran out on the server."""

    def __init__(self) -> None:
        super().__init__("the call's time ran out before there was an answer")


def _nothing(_: Any) -> dict[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Answer:
    """How one kind of error is answered. `text` replaces the error's own words where those are not for callers."""

    code: grpc.StatusCode
    reason: ErrorReason.ValueType
    metadata: Callable[[Any], dict[str, str]] = _nothing
    retry: timedelta | None = None
    text: Callable[[Any], str] = str


def _behind(error: errors.Behind) -> dict[str, str]:
    return {
        "order_id": error.order_id,
        "needed_version": str(error.needed_version),
        "current_version": str(error.current_version),
    }


def _epochs(error: errors.TokenOfOtherSource) -> dict[str, str]:
    return {"token_epoch": str(error.token_epoch), "current_epoch": str(error.current_epoch)}


_UNAVAILABLE = timedelta(seconds=1)
ANSWERS: Mapping[type[Exception], Answer] = {
    InvalidRequest: Answer(Code.INVALID_ARGUMENT, reasons.ERROR_REASON_INVALID_REQUEST),
    MalformedToken: Answer(Code.INVALID_ARGUMENT, reasons.ERROR_REASON_TOKEN_MALFORMED),
    NotImplementedYet: Answer(Code.UNIMPLEMENTED, reasons.ERROR_REASON_NOT_IMPLEMENTED),
    Overloaded: Answer(Code.RESOURCE_EXHAUSTED, reasons.ERROR_REASON_OVERLOADED, retry=_UNAVAILABLE),
    OutOfTime: Answer(Code.DEADLINE_EXCEEDED, reasons.ERROR_REASON_DEADLINE_EXCEEDED),
    errors.OrderUnknown: Answer(
        Code.NOT_FOUND, reasons.ERROR_REASON_ORDER_NOT_FOUND, lambda error: {"order_id": error.order_id}
    ),
    errors.VersionUnknown: Answer(
        Code.NOT_FOUND, reasons.ERROR_REASON_VERSION_NOT_FOUND, lambda error: {"order_id": error.order_id}
    ),
    errors.CustomerUnknown: Answer(
        Code.NOT_FOUND, reasons.ERROR_REASON_CUSTOMER_NOT_FOUND, lambda error: {"customer_id": error.customer_id}
    ),
    errors.PageTokenMalformed: Answer(Code.INVALID_ARGUMENT, reasons.ERROR_REASON_PAGE_TOKEN_MALFORMED),
    errors.Behind: Answer(Code.UNAVAILABLE, reasons.ERROR_REASON_READ_MODEL_BEHIND, _behind),
    errors.Parked: Answer(
        Code.FAILED_PRECONDITION,
        reasons.ERROR_REASON_ORDER_PARKED,
        lambda error: {"order_id": error.order_id, "parked_version": str(error.version)},
    ),
    errors.TokenOfOtherSource: Answer(Code.FAILED_PRECONDITION, reasons.ERROR_REASON_TOKEN_FROM_OTHER_SOURCE, _epochs),
    errors.CapabilityMissing: Answer(
        Code.FAILED_PRECONDITION,
        reasons.ERROR_REASON_CAPABILITY_MISSING,
        lambda error: {"capability": error.capability},
    ),
    errors.SumTooLarge: Answer(
        Code.OUT_OF_RANGE,
        reasons.ERROR_REASON_SUM_TOO_LARGE,
        lambda error: {"figure": error.figure, "group": error.group, "currency_code": error.currency_code},
    ),
    errors.DependencyDown: Answer(
        Code.UNAVAILABLE,
        reasons.ERROR_REASON_DEPENDENCY_UNAVAILABLE,
        lambda error: {"dependency": error.dependency},
        _UNAVAILABLE,
        lambda error: f"{error.dependency} cannot be reached or cannot work now",
    ),
    errors.ReadStoreNotReady: Answer(
        Code.UNAVAILABLE,
        reasons.ERROR_REASON_DEPENDENCY_UNAVAILABLE,
        lambda _: {"dependency": "read store"},
        _UNAVAILABLE,
        lambda _: "the read store is not set up",
    ),
}


def status_of(error: Exception) -> status_pb2.Status:
    """The answer to an error; one that stands in no table becomes INTERNAL with an incident id that the log has too."""
    answer = ANSWERS.get(type(error))
    if answer is None:
        return _incident(error)
    return error_status(
        answer.code,
        answer.reason,
        answer.text(error),
        metadata=answer.metadata(error),
        violations=_violations(error),
        retry_delay=answer.retry,
    )


def _violations(error: Exception) -> list[FieldViolation]:
    named = error.violations if isinstance(error, InvalidRequest) else ()
    return [FieldViolation(each.field, each.description) for each in named]


def _incident(error: Exception) -> status_pb2.Status:
    incident = str(uuid.uuid4())
    # Never the message: it may quote a document, and with it somebody's address.
    stack = "".join(traceback.format_tb(error.__traceback__))
    _log.error("incident", incident=incident, error=type(error).__name__, stack=stack)
    return error_status(
        Code.INTERNAL,
        reasons.ERROR_REASON_INTERNAL,
        f"the service failed; incident {incident} is in its log",
        metadata={"incident": incident},
    )
