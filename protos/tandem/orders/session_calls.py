"""Intercepts calls to carry a session's tokens: it records the answer of every command and adds them to every query.

A query whose token belongs to a source database that was restored since is sent again without it, once.

One class is for `grpc` channels and one for `grpc.aio` channels; both may share a session.
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
    """What both classes share."""

    def __init__(
        self,
        session: Session,
        max_wait: timedelta = MAX_WAIT,
        on_timeout: OnTimeout.ValueType = OnTimeout.ON_TIMEOUT_FAIL,
    ) -> None:
        self.session = session
        self._max_wait, self._on_timeout = max_wait, on_timeout

    def asking(self, request: Any) -> Any:
        """Returns the request with the session's options; a request with options of its own keeps them."""
        if not self.session.token or not isinstance(getattr(request, "read_options", None), ReadOptions):
            return request
        if request.HasField("read_options"):
            return request
        asked = type(request)()
        asked.CopyFrom(request)
        asked.read_options.CopyFrom(self.session.read_options(self._max_wait, self._on_timeout))
        return asked

    def answered(self, response: Any) -> None:
        """Records what an answer says was written."""
        if getattr(response, "consistency_token", ""):
            self.session.wrote(response)

    def again(self, error: Any, request: Any, asked: Any) -> bool:
        """Whether to send a refused query again: it had the session's token, which is outdated."""
        return self.session.refused(from_rpc_error(error)) and asked is not request


class SessionCalls(_Carrier, grpc.UnaryUnaryClientInterceptor):
    """For `grpc.intercept_channel(channel, SessionCalls(session))`.

    The answer of a call by `.future()` is recorded soon after it arrives, not before `result()` returns. Such a call
    may end with the refusal of an outdated token, unless the refusal arrives before the call is handed out. The next
    one is sent without it.
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
    """For `grpc.aio.insecure_channel(address, interceptors=[AsyncSessionCalls(session)])`."""

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
