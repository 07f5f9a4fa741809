"""Retries commands until they are answered. Each try has the same request id, so the command is done only once.

If a call gets no answer, the caller does not know whether the command was done. The next try with the same request id
gets the response of the first one, or executes the command. The status code decides whether to retry. The pause is the
time that the server asks for, plus a random time whose maximum doubles with each try.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import grpc
from tandem.orders.errors import MessageTooLarge, OrderError, VersionMismatch, from_rpc_error

#: Codes after which a retry may succeed. A broken connection looks like UNKNOWN or CANCELLED.
RETRIED = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
    }
)
Request_contra = TypeVar("Request_contra", contravariant=True)
Response_co = TypeVar("Response_co", covariant=True)
Request = TypeVar("Request")
Response = TypeVar("Response")


class Call(Protocol[Request_contra, Response_co]):
    """A method of a stub on a `grpc` channel."""

    def __call__(self, request: Request_contra, /, *, timeout: float | None = None) -> Response_co:
        """Sends one request; `timeout` in seconds."""
        ...


class AsyncCall(Protocol[Request_contra, Response_co]):
    """A method of a stub on a `grpc.aio` channel."""

    def __call__(self, request: Request_contra, /, *, timeout: float | None = None) -> Awaitable[Response_co]:
        """Sends one request; `timeout` in seconds."""
        ...


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to give up, how long one try may take, and the pauses between tries; all in seconds."""

    give_up_after: float = 60.0
    try_timeout: float = 5.0
    first_pause: float = 0.05
    longest_pause: float = 2.0

    def pause(self, tries: int, error: OrderError, chance: float) -> float:
        """Returns the seconds to wait after `tries` failed tries: what the server asked for, plus a random time.

        The random time is the part `chance` (0 to 1) of a pause that doubles with each try up to `longest_pause`. It
        keeps many callers from retrying at the same moment.
        """
        asked = error.retry_delay.total_seconds() if error.retry_delay else 0.0
        doubled: float = self.first_pause * 2.0 ** min(tries - 1, 16)
        return asked + chance * min(self.longest_pause, doubled)


POLICY = RetryPolicy()


def worth_repeating(error: OrderError) -> bool:
    """Returns whether a retry of the same request may succeed."""
    return error.code in RETRIED and not isinstance(error, (VersionMismatch, MessageTooLarge))


def repeat(call: Call[Request, Response], request: Request, policy: RetryPolicy = POLICY) -> Response:
    """Sends a command, for example `repeat(commands.PlaceOrder, request)`, until it is answered.

    Sets `request_id` in `request` if it is empty. Raises a refusal as OrderError at once. After `give_up_after` seconds
    raises the last failure. Only then is it unknown whether the command was done; send the same request again to find
    out.
    """
    _identify(request)
    tries = Tries(policy)
    while True:
        try:
            return call(request, timeout=tries.timeout())
        except grpc.RpcError as error:
            pause = tries.pause_after(from_rpc_error(error), error)
        time.sleep(pause)


async def repeat_async(call: AsyncCall[Request, Response], request: Request, policy: RetryPolicy = POLICY) -> Response:
    """Sends a command until it is answered, like `repeat`, for stubs on `grpc.aio` channels."""
    _identify(request)
    tries = Tries(policy)
    while True:
        try:
            return await call(request, timeout=tries.timeout())
        except grpc.RpcError as error:
            pause = tries.pause_after(from_rpc_error(error), error)
        await asyncio.sleep(pause)


def _identify(request: Any) -> None:
    if not request.request_id:
        request.request_id = str(uuid.uuid4())


class Tries:
    """Counts the tries of one call. They end `give_up_after` seconds after this object was made."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy, self._failed = policy, 0
        self._ends = time.monotonic() + policy.give_up_after

    def timeout(self) -> float:
        """Returns the time that the next try may take, in seconds."""
        return min(self._policy.try_timeout, max(self._ends - time.monotonic(), 0.001))

    def pause_after(self, error: OrderError, cause: BaseException | None, *, worth_it: bool | None = None) -> float:
        """Returns the seconds to wait after a failed try. Raises `error` when a retry is hopeless or would be too late.

        `worth_it`, when given, replaces `worth_repeating(error)`.
        """
        self._failed += 1
        pause = self._policy.pause(self._failed, error, random.random())  # noqa: S311 - spreads callers, hides nothing
        hopeless = not (worth_repeating(error) if worth_it is None else worth_it)
        if hopeless or time.monotonic() + pause >= self._ends:
            raise error from cause
        return pause
