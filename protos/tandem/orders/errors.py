"""Defines how refusals are sent and received: services build them with `error_status`, callers get exceptions.

On the wire a refusal is a `google.rpc.Status`. Its first detail is an `ErrorInfo`, whose reason is the name of a value
of `ErrorReason` without its prefix.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, RetryInfo
from google.rpc.status_pb2 import Status
from tandem.orders.v1.error_reason_pb2 import ErrorReason

ERROR_DOMAIN = "orders.tandem"
_PREFIX = "ERROR_REASON_"
#: The trailing metadata in which gRPC carries a `google.rpc.Status`.
_STATUS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True)
class FieldViolation:
    """One wrong field: its path in the request (`lines[3].unit_price.nanos`), and what is wrong."""

    field: str
    description: str


class OrderError(Exception):
    """A refused or failed call. Subclasses name the reason.

    `code` is gRPC's status code and `reason` the service's reason. `reason` is empty when gRPC itself or a proxy
    reported the failure. `retry_delay` is how long the service asks to wait before a retry.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[FieldViolation] = (),
        retry_delay: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason
        self.metadata: dict[str, str] = dict(metadata or {})
        self.violations: tuple[FieldViolation, ...] = tuple(violations)
        self.retry_delay = retry_delay

    def __str__(self) -> str:
        """Returns the message, followed by the violations that it does not contain."""
        violations = (f"{violation.field} {violation.description}".strip() for violation in self.violations)
        return "; ".join((self.message, *(text for text in violations if text not in self.message)))


class InvalidRequest(OrderError):  # noqa: N818 - the names say what happened
    """Fields are missing or wrong; `violations` lists each."""


class RequestIdReused(OrderError):  # noqa: N818
    """The request id was used before with another request body."""


class RuleViolated(OrderError):  # noqa: N818
    """A business rule forbids the command; `rule` is its id."""

    @property
    def rule(self) -> str:
        """The rule's stable id."""
        return self.metadata.get("rule", "")


class VersionMismatch(OrderError):  # noqa: N818
    """`expected_version` is not the order's version."""

    @property
    def current_version(self) -> int:
        """The order's version at the time of the refusal."""
        return int(self.metadata.get("current_version", "0"))


class OrderNotFound(OrderError):  # noqa: N818
    """No such order."""


class VersionNotFound(OrderError):  # noqa: N818
    """The order has no such version."""


class CustomerNotFound(OrderError):  # noqa: N818
    """No such customer."""


class Overloaded(OrderError):  # noqa: N818
    """The service has too much to do; `retry_delay` says when to retry."""


class ReadModelBehind(OrderError):  # noqa: N818
    """The read model has not yet applied the versions in the token."""


class OrderParked(OrderError):  # noqa: N818
    """A version of the order could not be projected and is parked."""


class TokenFromOtherSource(OrderError):  # noqa: N818
    """The token has another source epoch than the read model: the database was restored in between."""

    @property
    def token_epoch(self) -> int:
        """The token's source epoch."""
        return int(self.metadata.get("token_epoch", "0"))

    @property
    def current_epoch(self) -> int:
        """The read model's source epoch at the time of the refusal."""
        return int(self.metadata.get("current_epoch", "0"))


class TokenMalformed(OrderError):  # noqa: N818
    """The consistency token was not issued by this system or is damaged."""


class DependencyUnavailable(OrderError):  # noqa: N818
    """The service, or a store or broker that it needs for the call, cannot be reached."""


class Conflict(OrderError):  # noqa: N818
    """The order changed during every try of the command."""


class PageTokenMalformed(OrderError):  # noqa: N818
    """The page token was not issued for this query or is damaged."""


class ResumeTokenExpired(OrderError):  # noqa: N818
    """The stream no longer has the changes after this resume token. Read a list, and watch from its token."""


class ResumeTokenMalformed(OrderError):  # noqa: N818
    """The resume token was not issued by this system or is damaged."""


class CapabilityMissing(OrderError):  # noqa: N818
    """The configured read store does not support this."""


class NotImplementedYet(OrderError):  # noqa: N818
    """The service has no such method: it is of an earlier release, or another service listens there."""


class InternalError(OrderError):
    """The service has a defect; search its logs for `metadata["incident"]`."""


class DeadlineExceeded(OrderError):  # noqa: N818
    """The caller's deadline passed before the answer arrived."""


class OrderTooLarge(OrderError):  # noqa: N818
    """The order's events are larger than the service's limit, which was lowered."""


class Cancelled(OrderError):  # noqa: N818
    """The caller cancelled the call, or its connection broke; a command may have been done."""


class MessageTooLarge(OrderError):  # noqa: N818
    """The message is larger than gRPC sends or accepts. The same request fails again."""


class SumTooLarge(OrderError):  # noqa: N818
    """A sum does not fit into the contract's `Money`; `metadata` says which figure of which group."""


class RebuildNeeded(OrderError):  # noqa: N818
    """An earlier release wrote documents that lack what the query needs; the operator must rebuild the read model."""


#: Reason on the wire -> exception, for every reason of the contract.
EXCEPTIONS: Mapping[str, type[OrderError]] = {
    "INVALID_REQUEST": InvalidRequest,
    "REQUEST_ID_REUSED": RequestIdReused,
    "RULE_VIOLATED": RuleViolated,
    "VERSION_MISMATCH": VersionMismatch,
    "ORDER_NOT_FOUND": OrderNotFound,
    "VERSION_NOT_FOUND": VersionNotFound,
    "CUSTOMER_NOT_FOUND": CustomerNotFound,
    "OVERLOADED": Overloaded,
    "READ_MODEL_BEHIND": ReadModelBehind,
    "ORDER_PARKED": OrderParked,
    "TOKEN_FROM_OTHER_SOURCE": TokenFromOtherSource,
    "TOKEN_MALFORMED": TokenMalformed,
    "DEPENDENCY_UNAVAILABLE": DependencyUnavailable,
    "CONFLICT": Conflict,
    "PAGE_TOKEN_MALFORMED": PageTokenMalformed,
    "RESUME_TOKEN_EXPIRED": ResumeTokenExpired,
    "CAPABILITY_MISSING": CapabilityMissing,
    "NOT_IMPLEMENTED": NotImplementedYet,
    "INTERNAL": InternalError,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "ORDER_TOO_LARGE": OrderTooLarge,
    "SUM_TOO_LARGE": SumTooLarge,
    "RESUME_TOKEN_MALFORMED": ResumeTokenMalformed,
    "REBUILD_NEEDED": RebuildNeeded,
}


def reason_text(reason: ErrorReason.ValueType) -> str:
    """Returns the text that stands for a reason in `ErrorInfo.reason`: the enum value's name without its prefix."""
    return ErrorReason.Name(reason).removeprefix(_PREFIX)


def error_status(
    code: grpc.StatusCode,
    reason: ErrorReason.ValueType,
    message: str,
    *,
    metadata: Mapping[str, str] | None = None,
    violations: Sequence[FieldViolation] = (),
    retry_delay: timedelta | None = None,
) -> Status:
    """Builds a refusal: an ErrorInfo, plus BadRequest, PreconditionFailure and RetryInfo where they apply."""
    status = Status(code=code.value[0], message=message)
    text = reason_text(reason)
    info = ErrorInfo(reason=text, domain=ERROR_DOMAIN, metadata=metadata or {})
    status.details.add().Pack(info)
    if violations:
        bad_request = BadRequest(
            field_violations=[
                BadRequest.FieldViolation(field=violation.field, description=violation.description)
                for violation in violations
            ]
        )
        status.details.add().Pack(bad_request)
    if metadata and "rule" in metadata:
        failure = PreconditionFailure(
            violations=[PreconditionFailure.Violation(type=text, subject=metadata["rule"], description=message)]
        )
        status.details.add().Pack(failure)
    if retry_delay is not None:
        delay = Duration()
        delay.FromTimedelta(retry_delay)
        status.details.add().Pack(RetryInfo(retry_delay=delay))
    return status


_CODES = {code.value[0]: code for code in grpc.StatusCode}
#: gRPC refuses a message for its size with the code of an overload; only these words distinguish them.
_TOO_LARGE = "larger than max"
#: Status code -> exception, for a failure without a reason, which comes from gRPC itself or a proxy.
WITHOUT_REASON: Mapping[grpc.StatusCode, type[OrderError]] = {
    grpc.StatusCode.CANCELLED: Cancelled,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.UNAVAILABLE: DependencyUnavailable,
    grpc.StatusCode.UNIMPLEMENTED: NotImplementedYet,
}


def from_rpc_error(error: grpc.RpcError | grpc.aio.AioRpcError) -> OrderError:
    """Converts an error that a stub raised into the exception for its reason.

    If it has no reason, for example because the client's own deadline passed or no server listens, the status code
    decides. A code without an exception of its own gives a plain OrderError.
    """
    status = _rich_status(error)
    return _without_reason(error.code(), error.details() or "") if status is None else from_status(status)


def _rich_status(error: grpc.RpcError | grpc.aio.AioRpcError) -> Status | None:
    """Reads the `google.rpc.Status` in the trailing metadata; None when it is absent or contradicts the call's code.

    They differ if a proxy has replaced the call's code and message. Then the status is ignored.
    """
    # Both kinds of channel give pairs. gRPC's type hints describe `grpc.aio` only.
    metadata = cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ())
    for key, value in metadata:
        if key == _STATUS_KEY and isinstance(value, bytes):
            with contextlib.suppress(DecodeError):
                status = Status.FromString(value)
                if (status.code, status.message) == (error.code().value[0], error.details()):
                    return status
            return None
    return None


def _without_reason(code: grpc.StatusCode, message: str) -> OrderError:
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and _TOO_LARGE in message:
        return MessageTooLarge(code, message)
    return WITHOUT_REASON.get(code, OrderError)(code, message)


def from_status(status: Status) -> OrderError:
    """Converts a status, for example of an import's result, into the exception for its reason.

    Details that cannot be read are skipped.
    """
    info, delay = ErrorInfo(), None
    violations: list[FieldViolation] = []
    bad_request, retry = BadRequest(), RetryInfo()
    for detail in status.details:
        with contextlib.suppress(DecodeError, OverflowError, ValueError):
            if detail.Unpack(bad_request):
                violations = [FieldViolation(entry.field, entry.description) for entry in bad_request.field_violations]
            elif detail.Unpack(retry):
                delay = retry.retry_delay.ToTimedelta()
            else:
                detail.Unpack(info)
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    if info.domain != ERROR_DOMAIN:
        exception = type(_without_reason(code, status.message))
    else:
        exception = EXCEPTIONS.get(info.reason, OrderError)
    return exception(
        code,
        status.message,
        reason=info.reason,
        metadata=dict(info.metadata),
        violations=violations,
        retry_delay=delay,
    )
