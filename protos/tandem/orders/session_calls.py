"""Provides interceptors that use a session for every call: they add commands' tokens to it, and its token to queries.

If a query is refused because the source was restored after the token was issued, it is repeated once without the token.

`SessionCalls` is for `grpc` channels, `AsyncSessionCalls` for `grpc.aio` channels. Both may share a session.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import grpc
from tandem.orders.client import Session
from tandem.orders.errors import from_rpc_error
from tandem.orders.v1.order_query_service_pb2 import OnTimeout, ReadOptions

MAX_WAIT = timedelta(seconds=2)


class _Carrier:
    """The part that both interceptors share."""

    def __init__(
        self,
        session: Session,
        max_wait: timedelta = MAX_WAIT,
        on_timeout: OnTimeout.ValueType = OnTimeout.ON_TIMEOUT_FAIL,
    ) -> None:
        self.session = session
        self._max_wait, self._on_timeout = max_wait, on_timeout

    def asking(self, request: Any) -> Any:
        """Returns a copy of the request with the session's read options.

        Returns the request itself when the session has no token, or when the request has options or no field for them.
        """
        if not self.session.token or not isinstance(getattr(request, "read_options", None), ReadOptions):
            return request
        if request.HasField("read_options"):
            return request
        asked = type(request)()
        asked.CopyFrom(request)
        asked.read_options.CopyFrom(self.session.read_options(self._max_wait, self._on_timeout))
        return asked

    def answered(self, response: Any) -> None:
        """Adds a response's token to the session."""
        if getattr(response, "consistency_token", ""):
            self.session.wrote(response)

    def again(self, error: Any, request: Any, asked: Any) -> bool:
        """Returns whether to repeat a refused query: the session had added its token, and the token is out of date."""
        return self.session.refused(from_rpc_error(error)) and asked is not request


class SessionCalls(_Carrier, grpc.UnaryUnaryClientInterceptor):
    """Interceptor for `grpc.intercept_channel(channel, SessionCalls(session))`.

    The response of a `.future()` call may be remembered only after `result()` has returned. Such a call is repeated
    only if it was refused before `.future()` returned. Otherwise it ends with TOKEN_FROM_OTHER_SOURCE, and the next
    call is sent without the token.
    """

    def intercept_unary_unary(
        self, continuation: Callable[[Any, Any], Any], client_call_details: Any, request: Any
    ) -> Any:
        """See grpc.UnaryUnaryClientInterceptor."""
        asked = self.asking(request)
        call = continuation(client_call_details, asked)
        if call.done() and call.code() is not grpc.StatusCode.OK and self.again(call, request, asked):
            call = continuation(client_call_details, self.asking(request))
        call.add_done_callback(self._done)
        return call

    def _done(self, call: Any) -> None:
        if call.code() is grpc.StatusCode.OK:
            self.answered(call.result())
        else:
            self.session.refused(from_rpc_error(call))


class AsyncSessionCalls(_Carrier, grpc.aio.UnaryUnaryClientInterceptor):
    """Interceptor for `grpc.aio.insecure_channel(address, interceptors=[AsyncSessionCalls(session)])`."""

    async def intercept_unary_unary(
        self, continuation: Callable[[Any, Any], Awaitable[Any]], client_call_details: Any, request: Any
    ) -> Any:
        """See grpc.aio.UnaryUnaryClientInterceptor."""
        asked = self.asking(request)
        call = await continuation(client_call_details, asked)
        try:
            self.answered(await call)
        except grpc.aio.AioRpcError as error:
            if not self.again(error, request, asked):
                raise
            call = await continuation(client_call_details, self.asking(request))
            self.answered(await call)
        return call
