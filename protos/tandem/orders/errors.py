"""Builds refusals in the services, and turns them into exceptions for callers.

On the wire a refusal is a `google.rpc.Status` whose first detail is an `ErrorInfo` with a reason of `ErrorReason`.
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
    """One wrong field: its path in the request (`lines[3].unit_price.nanos`) and what is wrong."""

    field: str
    description: str


class OrderError(Exception):
    """A refused or failed call. Subclasses stand for the reasons.

    `reason` is the service's; it is empty when the client itself reported the failure.
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
        """The message, and the violations that it does not mention."""
        told = (f"{violation.field} {violation.description}".strip() for violation in self.violations)
        return "; ".join((self.message, *(text for text in told if text not in self.message)))


class InvalidRequest(OrderError):  # noqa: N818 - the names say what happened
    """Fields are missing or wrong; `violations` names each."""


class RequestIdReused(OrderError):  # noqa: N818
    """The request id was used before with another request body."""


class RuleViolated(OrderError):  # noqa: N818
    """A business rule forbids it."""

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
    """Too much at once; `retry_delay` says when to retry."""


class ReadModelBehind(OrderError):  # noqa: N818
    """The read model has not yet applied what the token names."""


class OrderParked(OrderError):  # noqa: N818
    """A version of the order could not be projected and is parked."""


class TokenFromOtherSource(OrderError):  # noqa: N818
    """The token has another source epoch than the read model."""

    @property
    def token_epoch(self) -> int:
        """The token's source epoch."""
        return int(self.metadata.get("token_epoch", "0"))

    @property
    def current_epoch(self) -> int:
        """The source epoch that the read model followed when it refused."""
        return int(self.metadata.get("current_epoch", "0"))


class TokenMalformed(OrderError):  # noqa: N818
    """The consistency token was not issued by this system or is damaged."""


class DependencyUnavailable(OrderError):  # noqa: N818
    """A store or broker that the call needs, or the service itself, cannot be reached."""


class Conflict(OrderError):  # noqa: N818
    """The order kept changing while the command was retried."""


class PageTokenMalformed(OrderError):  # noqa: N818
    """The page token was not issued for this query or is damaged."""


class ResumeTokenExpired(OrderError):  # noqa: N818
    """The resume token is older than everything that the stream still has."""


class CapabilityMissing(OrderError):  # noqa: N818
    """The configured read store cannot do it."""


class NotImplementedYet(OrderError):  # noqa: N818
    """The method is part of the contract and not served yet."""


class InternalError(OrderError):
    """A defect of the service; `metadata["incident"]` finds it in its logs."""


class DeadlineExceeded(OrderError):  # noqa: N818
    """The caller's deadline ran out, on the server or before it answered."""


class OrderTooLarge(OrderError):  # noqa: N818
    """The service's limit for events was lowered below what this order already needs."""


class Cancelled(OrderError):  # noqa: N818
    """The caller cancelled, or the connection broke; a command may have been executed."""


class MessageTooLarge(OrderError):  # noqa: N818
    """gRPC refused to send or accept a message of this size. The same request fails again."""


class SumTooLarge(OrderError):  # noqa: N818
    """A sum of orders does not fit into the contract's numbers; `metadata` names the figure and its group."""


#: Reason on the wire -> exception. Every reason of the contract stands here.
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
}


def reason_text(reason: ErrorReason.ValueType) -> str:
    """Returns the reason as in `ErrorInfo.reason`."""
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
    """Builds a service's refusal: ErrorInfo, and BadRequest, PreconditionFailure or RetryInfo where they apply."""
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
#: What stands in the details when gRPC refuses a message for its size: with the code of an overload.
_TOO_LARGE = "larger than max"
#: Status code -> exception, for a failure that names no reason: gRPC's own, on either side, or a proxy's.
WITHOUT_REASON: Mapping[grpc.StatusCode, type[OrderError]] = {
    grpc.StatusCode.CANCELLED: Cancelled,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.UNAVAILABLE: DependencyUnavailable,
    grpc.StatusCode.UNIMPLEMENTED: NotImplementedYet,
}


def from_rpc_error(error: grpc.RpcError | grpc.aio.AioRpcError) -> OrderError:
    """Turns a stub's error into the exception of its reason.

    Without a reason, for example when the client's own deadline ran out or nobody listens, the status code decides.
    OrderError itself stands for all other codes.
    """
    status = _rich_status(error)
    return _without_reason(error.code(), error.details() or "") if status is None else from_status(status)


def _rich_status(error: grpc.RpcError | grpc.aio.AioRpcError) -> Status | None:
    """Reads the status in the metadata; None without one that agrees with the call's own.

    A part that something on the way has changed is ignored; code and message of the call still count.
    """
    # Pairs, on either kind of channel. The types of gRPC know that of `grpc.aio` only.
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
    """Turns a rich status, also one inside a stream's item, into the exception of its reason.

    Details that cannot be read are ignored.
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
