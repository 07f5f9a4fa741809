"""Maps refusals and errors to answers. An error without a row becomes INTERNAL with an incident id."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import grpc
import structlog
from google.rpc import status_pb2
from tandem.orders.errors import FieldViolation, error_status
from tandem.orders.v1 import error_reason_pb2 as reasons
from tandem.orders.v1.error_reason_pb2 import ErrorReason

from command_service.application import errors as application
from command_service.domain import errors as domain
from service_runtime.edge.request_validation import InvalidRequest

_log = structlog.get_logger(__name__)


class NotImplementedYet(Exception):  # noqa: N818 - says what happened
    """The method is part of the contract and not served yet."""

    def __init__(self, method: str) -> None:
        super().__init__(f"{method} is part of the contract and not served yet")
        self.message = str(self)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one kind of error. `retry`: the delay after which a retry makes sense."""

    code: grpc.StatusCode
    reason: ErrorReason.ValueType
    retry: timedelta | None = None


ANSWERS: Mapping[type[Exception], Answer] = {
    InvalidRequest: Answer(grpc.StatusCode.INVALID_ARGUMENT, reasons.ERROR_REASON_INVALID_REQUEST),
    NotImplementedYet: Answer(grpc.StatusCode.UNIMPLEMENTED, reasons.ERROR_REASON_NOT_IMPLEMENTED),
    domain.RuleViolated: Answer(grpc.StatusCode.FAILED_PRECONDITION, reasons.ERROR_REASON_RULE_VIOLATED),
    domain.VersionMismatch: Answer(grpc.StatusCode.ABORTED, reasons.ERROR_REASON_VERSION_MISMATCH),
    domain.OrderNotFound: Answer(grpc.StatusCode.NOT_FOUND, reasons.ERROR_REASON_ORDER_NOT_FOUND),
    application.RequestIdReused: Answer(grpc.StatusCode.INVALID_ARGUMENT, reasons.ERROR_REASON_REQUEST_ID_REUSED),
    application.OrderTooLarge: Answer(grpc.StatusCode.FAILED_PRECONDITION, reasons.ERROR_REASON_ORDER_TOO_LARGE),
    application.Overloaded: Answer(
        grpc.StatusCode.RESOURCE_EXHAUSTED, reasons.ERROR_REASON_OVERLOADED, timedelta(seconds=1)
    ),
    application.DependencyUnavailable: Answer(
        grpc.StatusCode.UNAVAILABLE, reasons.ERROR_REASON_DEPENDENCY_UNAVAILABLE, timedelta(seconds=1)
    ),
    application.ConnectionBroken: Answer(
        grpc.StatusCode.UNAVAILABLE, reasons.ERROR_REASON_DEPENDENCY_UNAVAILABLE, timedelta(seconds=1)
    ),
    application.Stopping: Answer(
        grpc.StatusCode.UNAVAILABLE, reasons.ERROR_REASON_DEPENDENCY_UNAVAILABLE, timedelta(seconds=1)
    ),
    application.Conflict: Answer(grpc.StatusCode.ABORTED, reasons.ERROR_REASON_CONFLICT, timedelta(milliseconds=100)),
    application.TimedOut: Answer(grpc.StatusCode.DEADLINE_EXCEEDED, reasons.ERROR_REASON_DEADLINE_EXCEEDED),
}


def status_of(error: Exception) -> status_pb2.Status:
    """Returns the answer to an error. One without a row becomes INTERNAL with an incident id, which the log has too."""
    answer = ANSWERS.get(type(error))
    if answer is None:
        return _incident(error)
    return error_status(
        answer.code,
        answer.reason,
        str(getattr(error, "message", error)),
        metadata=_metadata(error),
        violations=_violations(error),
        retry_delay=answer.retry,
    )


def overloaded() -> status_pb2.Status:
    """Returns the answer to a call above the server's limit."""
    return status_of(application.Overloaded())


def _metadata(error: Exception) -> dict[str, str]:
    match error:
        case domain.RuleViolated():
            return {**error.details, "rule": error.rule.id}
        case domain.Refusal():
            return dict(error.details)
        case application.DependencyUnavailable():
            return {"dependency": error.dependency}
        case application.OrderTooLarge():
            return {"size": str(error.size), "limit": str(error.limit)}
        case _:
            return {}


def _violations(error: Exception) -> list[FieldViolation]:
    named = error.violations if isinstance(error, InvalidRequest) else ()
    return [FieldViolation(each.field, each.description) for each in named]


def _incident(error: Exception) -> status_pb2.Status:
    incident = str(uuid4())
    diagnostics = getattr(error, "diag", None)
    # Never the message: a driver's may quote the row, and with it somebody's address.
    _log.error(
        "incident",
        incident=incident,
        error=type(error).__name__,
        sqlstate=getattr(error, "sqlstate", None),
        constraint=getattr(diagnostics, "constraint_name", None),
        stack="".join(traceback.format_tb(error.__traceback__)),
    )
    return error_status(
        grpc.StatusCode.INTERNAL,
        reasons.ERROR_REASON_INTERNAL,
        f"the service failed; incident {incident} is in its log",
        metadata={"incident": incident},
    )
