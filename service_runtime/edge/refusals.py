"""Errors → what callers get: a service's table of answers, and the answer to what stands in no table.

No text of a driver and no stack trace reaches a caller: an error that the table does not name becomes INTERNAL with an
incident id, and the log has the rest under that id.
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
#: Keeps a client whose service config retries the status code from doing so.
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
    """Builds the status of a refusal with its details, as the contract says how. `reason` is of the contract's enum."""

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
        """`violations` have `field` and `description`."""


def _nothing(_: Any) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Answer:
    """How one kind of error is answered: `reason` is of the contract's enum, `retry` says when to come back.

    `text` replaces the error's own words where those are not for callers. `waited`: the call has waited already, as
    long as the caller wished, so that their client must not try again by itself.
    """

    code: grpc.StatusCode
    reason: Any
    metadata: Callable[[Any], Mapping[str, str]] = _nothing
    retry: timedelta | None = None
    text: Callable[[Any], str] = str
    waited: bool = False


class Refusals:
    """The answers of one service, by the class of the error.

    `internal` is the reason of incidents; `diagnosis` gives what the log may have of an unknown error beside its stack,
    never its message: that may quote a row or a document, and with it somebody's address.
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
        """The answer to an error."""
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
        """Code, message and trailing metadata of the answer, as a call is aborted with."""
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
