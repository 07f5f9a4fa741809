"""Maps refusals and errors of the command service to gRPC statuses."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import grpc
from tandem.orders.errors import error_status
from tandem.orders.v1 import error_reason_pb2 as reasons

from command_service.application import errors as application
from command_service.application.exporting import errors as exporting
from command_service.domain import errors as domain
from service_runtime.edge.refusals import Answer, NotImplementedYet, Refusals
from service_runtime.edge.request_validation import InvalidRequest

Code = grpc.StatusCode
_COME_BACK = timedelta(seconds=1)


def _details(refusal: domain.Refusal) -> Mapping[str, str]:
    return refusal.details


def _dependency(error: application.DependencyUnavailable) -> dict[str, str]:
    return {"dependency": error.dependency}


_UNAVAILABLE = Answer(Code.UNAVAILABLE, reasons.ERROR_REASON_DEPENDENCY_UNAVAILABLE, _dependency, _COME_BACK)
ANSWERS: Mapping[type[Exception], Answer] = {
    InvalidRequest: Answer(Code.INVALID_ARGUMENT, reasons.ERROR_REASON_INVALID_REQUEST),
    NotImplementedYet: Answer(Code.UNIMPLEMENTED, reasons.ERROR_REASON_NOT_IMPLEMENTED),
    domain.RuleViolated: Answer(
        Code.FAILED_PRECONDITION,
        reasons.ERROR_REASON_RULE_VIOLATED,
        lambda refusal: {**refusal.details, "rule": refusal.rule.id},
    ),
    domain.VersionMismatch: Answer(Code.ABORTED, reasons.ERROR_REASON_VERSION_MISMATCH, _details),
    domain.OrderNotFound: Answer(Code.NOT_FOUND, reasons.ERROR_REASON_ORDER_NOT_FOUND, _details),
    domain.CustomerNotFound: Answer(Code.NOT_FOUND, reasons.ERROR_REASON_CUSTOMER_NOT_FOUND, _details),
    application.RequestIdReused: Answer(Code.INVALID_ARGUMENT, reasons.ERROR_REASON_REQUEST_ID_REUSED),
    application.OrderTooLarge: Answer(
        Code.FAILED_PRECONDITION,
        reasons.ERROR_REASON_ORDER_TOO_LARGE,
        lambda error: {"size": str(error.size), "limit": str(error.limit)},
    ),
    application.Overloaded: Answer(Code.RESOURCE_EXHAUSTED, reasons.ERROR_REASON_OVERLOADED, retry=_COME_BACK),
    application.DependencyUnavailable: _UNAVAILABLE,
    application.ConnectionBroken: _UNAVAILABLE,
    application.Stopping: _UNAVAILABLE,
    exporting.ExportInterrupted: _UNAVAILABLE,
    application.Conflict: Answer(Code.ABORTED, reasons.ERROR_REASON_CONFLICT, retry=timedelta(milliseconds=100)),
    application.TimedOut: Answer(Code.DEADLINE_EXCEEDED, reasons.ERROR_REASON_DEADLINE_EXCEEDED),
    exporting.ExportTooSlow: Answer(Code.DEADLINE_EXCEEDED, reasons.ERROR_REASON_DEADLINE_EXCEEDED),
}


def _diagnosis(error: Exception) -> Mapping[str, Any]:
    """Returns what PostgreSQL reports about an error in addition to its message. None where it reports nothing."""
    diagnostics = getattr(error, "diag", None)
    return {
        "sqlstate": getattr(error, "sqlstate", None),
        "constraint": getattr(diagnostics, "constraint_name", None),
    }


REFUSALS = Refusals(ANSWERS, error_status, reasons.ERROR_REASON_INTERNAL, _diagnosis)
status_of = REFUSALS.status_of
