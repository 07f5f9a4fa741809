"""Limits how many calls of a server process run at once, and how long each may take.

gRPC has a limit on concurrent calls too, but its refusal does not say when to retry, so it is only a backstop. The
limit here wraps the methods themselves, because an interceptor would run two more coroutines per call (30 µs).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

import grpc
from google.rpc import status_pb2
from grpc_status import rpc_status

Unary = Callable[[Any, Any], Awaitable[Any]]
Answer = TypeVar("Answer")
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class ConcurrencyLimit:
    """Refuses calls with the status `overloaded` while `limit` calls are running. Their requests are not parsed.

    A call counts only when its request has arrived, so callers who send slowly, or never, keep no place from others. If
    all places are taken by then, the call is refused too.
    """

    def __init__(self, limit: int, overloaded: status_pb2.Status) -> None:
        self._limit, self._status = limit, rpc_status.to_status(overloaded)
        # Without a deserializer, so the request is not parsed. To answer before the request has arrived would cost even
        # less, but a caller that is still sending would see the call cancelled instead of refused.
        self.refusing: Handler = grpc.unary_unary_rpc_method_handler(self._refuse)
        self.running = 0
        self.refused = 0

    @property
    def reached(self) -> bool:
        """Whether `limit` calls are running, so that another one would be refused."""
        return self.running >= self._limit

    async def _refuse(self, _: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self.refused += 1
        await context.abort_with_status(self._status)

    def wrap(self, behaviour: Unary) -> Unary:
        """Returns a method that runs `behaviour` within the limit, and counts its calls while they run."""

        async def limited(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            if self.running >= self._limit:
                await self._refuse(request, context)
            self.running += 1
            try:
                return await behaviour(request, context)
            finally:
                self.running -= 1

        return limited


async def bounded(answer: Awaitable[Answer], seconds: float, late: Callable[[], Exception]) -> Answer:
    """Returns the answer. Raises `late()` if it takes longer than `seconds`.

    Only the answer has this limit, not the sending of a refusal: a refusal must not be refused again if time runs out.
    This does what `asyncio.timeout` does with fewer steps, because it runs for each call.
    """
    task, expired = asyncio.current_task(), False
    assert task is not None, "a call runs in a task"
    cancelled_before = task.cancelling()

    def expire() -> None:
        nonlocal expired
        expired = True
        task.cancel()

    timer = asyncio.get_running_loop().call_later(seconds, expire) if math.isfinite(seconds) else None
    try:
        return await answer
    except asyncio.CancelledError:
        if expired and task.cancelling() - 1 <= cancelled_before:  # nobody else has cancelled the call
            raise late() from None
        raise
    finally:
        if timer is not None:
            timer.cancel()
        if expired:
            task.uncancel()


class LimitedMethods(grpc.GenericRpcHandler):
    """A service whose unary methods are within the limit. Its streams are not limited.

    Health and reflection are not wrapped, because a full server must still be able to report that it is live.
    """

    def __init__(self, methods: grpc.GenericRpcHandler, limit: ConcurrencyLimit) -> None:
        self._methods, self._limit = methods, limit
        #: Path of a unary method → its handler with the limit.
        self._limited: dict[str, Handler] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """Returns the handler of a call. gRPC calls this for each call, before its request is read."""
        limited = self._limited.get(handler_call_details.method)
        if limited is None:
            handler = self._methods.service(handler_call_details)
            if handler is None or handler.unary_unary is None:
                return handler
            limited = self._limited[handler_call_details.method] = grpc.unary_unary_rpc_method_handler(
                self._limit.wrap(handler.unary_unary),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        return self._limit.refusing if self._limit.reached else limited
