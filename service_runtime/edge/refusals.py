"""Turns errors into the statuses that callers get, by a service's table of answers.

An error that is not in the table becomes INTERNAL with an incident id, and the log has the details under that id. So no
text of a driver and no stack trace reaches a caller.
"""

from __future__ import annotations

import traceback
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

import grpc
import structlog
from google.rpc import status_pb2
from grpc_status import rpc_status

from service_runtime.edge.request_validation import InvalidRequest

_log = structlog.get_logger(__name__)
#: Trailing metadata that keeps a client from a retry, even if its service config retries the status code.
NO_RETRY = ("grpc-retry-pushback-ms", "-1")


class NotImplementedYet(Exception):  # noqa: N818 - says what happened
    """The method is part of the contract and not served yet."""

    def __init__(self, method: str) -> None:
        super().__init__(f"{method} is part of the contract and not served yet")


class OutOfTime(Exception):  # noqa: N818
    """The call's time ran out on the server."""

    def __init__(self) -> None:
        super().__init__("the call's time ran out before there was an answer")


class Pack(Protocol):
    """Builds the status of a refusal, with the details that the contract demands.

    `reason` is a value of the contract's enum of reasons.
    """

    def __call__(
        self,
        code: grpc.StatusCode,
        reason: Any,
        message: str,
        *,
        metadata: Mapping[str, str],
        violations: Sequence[Any],
        retry_delay: timedelta | None,
    ) -> status_pb2.Status:
        """Returns the status. Each of `violations` has `field` and `description`."""


def _nothing(_: Any) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Answer:
    """How errors of one class are answered.

    `reason` is a value of the contract's enum of reasons. `retry` tells the caller how long to wait before a retry;
    None tells nothing. `text` returns the message; by default it is the error's own. `waited` says that the call has
    already waited as long as the caller wished, so the caller's client must not retry by itself.
    """

    code: grpc.StatusCode
    reason: Any
    metadata: Callable[[Any], Mapping[str, str]] = _nothing
    retry: timedelta | None = None
    text: Callable[[Any], str] = str
    waited: bool = False


class Refusals:
    """The answers of one service, by the class of the error.

    `internal` is the reason for an error without an answer. `diagnosis` returns the fields that the log gets about such
    an error, in addition to its class and stack. They must not contain the error's message, which may quote a row or a
    document and so somebody's address.
    """

    def __init__(
        self,
        answers: Mapping[type[Exception], Answer],
        pack: Pack,
        internal: Any,
        diagnosis: Callable[[Exception], Mapping[str, Any]] = lambda _: {},
    ) -> None:
        self._answers, self._pack, self._internal, self._diagnosis = answers, pack, internal, diagnosis

    def status_of(self, error: Exception) -> status_pb2.Status:
        """Returns the status that answers an error."""
        answer = self._answers.get(type(error))
        if answer is None:
            return self._incident(error)
        return self._pack(
            answer.code,
            answer.reason,
            answer.text(error),
            metadata=answer.metadata(error),
            violations=error.violations if isinstance(error, InvalidRequest) else (),
            retry_delay=answer.retry,
        )

    def sent(self, error: Exception) -> tuple[grpc.StatusCode, str, tuple[tuple[str, str | bytes], ...]]:
        """Returns code, message and trailing metadata of the answer, with which the call is aborted."""
        status = rpc_status.to_status(self.status_of(error))
        answer = self._answers.get(type(error))
        no_retry = (NO_RETRY,) if answer is not None and answer.waited else ()
        return status.code, status.details, (*status.trailing_metadata, *no_retry)

    def _incident(self, error: Exception) -> status_pb2.Status:
        incident = str(uuid.uuid4())
        stack = "".join(traceback.format_tb(error.__traceback__))
        _log.error("incident", incident=incident, error=type(error).__name__, **self._diagnosis(error), stack=stack)
        return self._pack(
            grpc.StatusCode.INTERNAL,
            self._internal,
            f"the service failed; incident {incident} is in its log",
            metadata={"incident": incident},
            violations=(),
            retry_delay=None,
        )
