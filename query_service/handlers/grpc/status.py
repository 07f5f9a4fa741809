"""Maps every error of the query service to its gRPC status, reason and metadata."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import grpc
from tandem.orders.consistency_token import MalformedToken
from tandem.orders.errors import error_status
from tandem.orders.v1 import error_reason_pb2 as reasons

from query_service.application.ports import errors
from service_runtime.edge.refusals import Answer, NotImplementedYet, OutOfTime, Refusals
from service_runtime.edge.request_validation import InvalidRequest

Code = grpc.StatusCode


class Overloaded(Exception):  # noqa: N818
    """The process is at its limit of concurrent calls."""

    def __init__(self) -> None:
        super().__init__("this replica is at its limit of concurrent calls; retry in a moment")


def _behind(error: errors.Lagging) -> dict[str, str]:
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
    errors.ResumeTokenMalformed: Answer(Code.INVALID_ARGUMENT, reasons.ERROR_REASON_RESUME_TOKEN_MALFORMED),
    errors.ResumeTokenExpired: Answer(Code.OUT_OF_RANGE, reasons.ERROR_REASON_RESUME_TOKEN_EXPIRED),
    errors.TooManyWatchers: Answer(Code.RESOURCE_EXHAUSTED, reasons.ERROR_REASON_OVERLOADED, retry=_UNAVAILABLE),
    errors.WatcherTooSlow: Answer(
        Code.RESOURCE_EXHAUSTED,
        reasons.ERROR_REASON_OVERLOADED,
        lambda error: {"resume_token": error.resume_token},
        _UNAVAILABLE,
    ),
    errors.Lagging: Answer(Code.UNAVAILABLE, reasons.ERROR_REASON_READ_MODEL_BEHIND, _behind, waited=True),
    errors.Parked: Answer(
        Code.FAILED_PRECONDITION,
        reasons.ERROR_REASON_ORDER_PARKED,
        lambda error: {"order_id": error.order_id, "parked_version": str(error.version)},
    ),
    errors.TokenOfOtherSource: Answer(Code.FAILED_PRECONDITION, reasons.ERROR_REASON_TOKEN_FROM_OTHER_SOURCE, _epochs),
    errors.SumTooLarge: Answer(
        Code.OUT_OF_RANGE,
        reasons.ERROR_REASON_SUM_TOO_LARGE,
        lambda error: {"figure": error.figure, "group": error.group, "currency_code": error.currency_code},
    ),
    errors.RebuildNeeded: Answer(
        Code.FAILED_PRECONDITION, reasons.ERROR_REASON_REBUILD_NEEDED, lambda error: {"field": error.field}
    ),
    errors.DependencyDown: Answer(
        Code.UNAVAILABLE,
        reasons.ERROR_REASON_DEPENDENCY_UNAVAILABLE,
        lambda error: {"dependency": error.dependency},
        _UNAVAILABLE,
        lambda error: f"{error.dependency} cannot be reached or does not work now",
    ),
    errors.ReadStoreNotReady: Answer(
        Code.UNAVAILABLE,
        reasons.ERROR_REASON_DEPENDENCY_UNAVAILABLE,
        lambda _: {"dependency": "read store"},
        _UNAVAILABLE,
        lambda _: "the read store is not set up",
    ),
}


REFUSALS = Refusals(ANSWERS, error_status, reasons.ERROR_REASON_INTERNAL)
status_of = REFUSALS.status_of
