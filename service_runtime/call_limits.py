"""Interceptors that keep one server process within its means: calls at once, and time per call.

gRPC's own limit on concurrent calls answers without saying when to come back, so it is only the net below this one.
Health and reflection are not limited: a full server must still be able to say that it lives.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import grpc
from google.rpc import status_pb2
from grpc_status import rpc_status

Unary = Callable[[Any, Any], Awaitable[Any]]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler]]


def _rewrapped(handler: Handler, behaviour: Unary) -> Handler:
    return grpc.unary_unary_rpc_method_handler(
        behaviour,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


class _UnaryInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the unary methods of the named services; everything else passes untouched."""

    def __init__(self, services: Sequence[str]) -> None:
        self._prefixes = tuple(f"/{service}/" for service in services)
        #: Method → what it was and what it became. A server's handlers are few and stay the same.
        self._wrapped: dict[str, tuple[Handler, Handler]] = {}

    async def intercept_service(  # type: ignore[override]
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler:
        """Called by gRPC for each call, before its request is read."""
        method = handler_call_details.method
        handler = await continuation(handler_call_details)
        if handler is None or handler.unary_unary is None or not method.startswith(self._prefixes):
            return handler
        known = self._wrapped.get(method)
        if known is None or known[0] is not handler:
            known = self._wrapped[method] = handler, _rewrapped(handler, self.wrap(handler.unary_unary))
        return known[1]

    @abstractmethod
    def wrap(self, behaviour: Unary) -> Unary:
        """The limited form of a method's behaviour."""


class ConcurrencyLimit(_UnaryInterceptor):
    """Refuses calls above `limit` with `overloaded`, at once: their requests are taken off the wire and not looked at.

    Who was let in is counted only when the request is there, so that callers who send slowly, or never, take no place
    from others; a call that finds all places taken by then is refused as well.
    """

    def __init__(self, services: Sequence[str], limit: int, overloaded: status_pb2.Status) -> None:
        super().__init__(services)
        self._limit, self._status = limit, rpc_status.to_status(overloaded)
        # Without a deserializer. To answer before the request is there at all would be cheaper still, but callers that
        # are still sending then see their call cancelled instead of refused.
        self._refusing: Handler = grpc.unary_unary_rpc_method_handler(self._refuse)
        self.running = 0
        self.refused = 0

    async def intercept_service(  # type: ignore[override]
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler:
        """Called by gRPC for each call, before its request is read."""
        if self.running >= self._limit and handler_call_details.method in self._wrapped:
            return self._refusing
        return await super().intercept_service(continuation, handler_call_details)

    async def _refuse(self, _: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self.refused += 1
        await context.abort_with_status(self._status)

    def wrap(self, behaviour: Unary) -> Unary:
        """Counts the call in while it runs."""

        async def limited(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            if self.running >= self._limit:
                await self._refuse(request, context)
            self.running += 1
            try:
                return await behaviour(request, context)
            finally:
                self.running -= 1

        return limited


class DeadlineCap(_UnaryInterceptor):
    """Ends calls after `cap_seconds`, or after the caller's own deadline when that is sooner, with `exceeded`."""

    def __init__(self, services: Sequence[str], cap_seconds: float, exceeded: status_pb2.Status) -> None:
        super().__init__(services)
        self._cap, self._status = cap_seconds, rpc_status.to_status(exceeded)

    def wrap(self, behaviour: Unary) -> Unary:
        """Bounds the call's time."""

        async def capped(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            remaining = context.time_remaining()
            limit = self._cap if remaining is None else min(self._cap, max(remaining, 0.0))
            scope = asyncio.timeout(limit)
            try:
                async with scope:
                    return await behaviour(request, context)
            except TimeoutError:
                if not scope.expired():
                    raise
            return await context.abort_with_status(self._status)

        return capped
