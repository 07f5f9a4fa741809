"""Builds a service's methods for gRPC: those served, and a refusal for every other method of the contract."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from grpc_status import rpc_status

from command_service.application.errors import TimedOut
from command_service.handlers.caller import Context
from command_service.handlers.status import NotImplementedYet, status_of
from command_service.metrics import CommandMetrics
from service_runtime.edge.call_limits import bounded
from service_runtime.edge.caller_gone import found_nobody
from service_runtime.edge.request_bytes import parser_of
from service_runtime.edge.request_validation import InvalidRequest, Violation

#: Request and context → the response's bytes: those stored are sent as they are.
Behaviour = Callable[[Any, Context], Awaitable[bytes]]
#: A stream of requests and a context, to which the responses' bytes are written.
StreamBehaviour = Callable[[Any, Context], Awaitable[None]]


def service_methods(
    service: ServiceDescriptor,
    served: Mapping[str, Behaviour | StreamBehaviour],
    metrics: CommandMetrics,
    deadline_cap: float,
) -> grpc.GenericRpcHandler:
    """Returns all methods of `service`. Raises KeyError for a served method that the contract does not have.

    A unary call ends after `deadline_cap` seconds, or at the caller's own deadline if that is sooner.
    """
    unknown = set(served) - set(service.methods_by_name)
    if unknown:
        raise KeyError(f"{service.full_name} has no methods {sorted(unknown)}")
    return grpc.method_handlers_generic_handler(
        service.full_name,
        {method.name: _handler(method, served.get(method.name), metrics, deadline_cap) for method in service.methods},
    )


def _handler(
    method: MethodDescriptor,
    behaviour: Behaviour | StreamBehaviour | None,
    metrics: CommandMetrics,
    deadline_cap: float,
) -> grpc.RpcMethodHandler[Any, Any]:
    async def refuse(_: Any, context: Context) -> bytes:
        raise NotImplementedYet(method.name)

    answering = _answering(method, behaviour or refuse, metrics, deadline_cap)
    # No deserializer: gRPC would answer bytes that are no message as a fault of the server.
    return _KINDS[method.client_streaming, method.server_streaming](answering)


#: (requests are a stream, responses are a stream) → the method's kind.
_KINDS: Mapping[tuple[bool, bool], Callable[..., grpc.RpcMethodHandler[Any, Any]]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def _answering(
    method: MethodDescriptor, behaviour: Behaviour | StreamBehaviour, metrics: CommandMetrics, deadline_cap: float
) -> Callable[[Any, Context], Awaitable[bytes | None]]:
    parse = parser_of(method.input_type, lambda sentence: InvalidRequest([Violation("", sentence)]))
    is_stream = method.client_streaming or method.server_streaming

    async def answering(request: Any, context: Context) -> bytes | None:
        started, outcome = time.perf_counter(), "ABANDONED"
        try:
            parsed = _each(request, parse) if method.client_streaming else parse(request)
            answer: Awaitable[bytes | None] = behaviour(parsed, context)
            if not is_stream:
                remaining = context.time_remaining()
                limit = deadline_cap if remaining is None else min(deadline_cap, max(remaining, 0.0))
                answer = bounded(answer, limit, TimedOut)
            response = await answer
            outcome = "OK"
            return response
        except Exception as error:
            if found_nobody(error):  # a stream's caller left while its answer was on the way
                raise
            status = rpc_status.to_status(status_of(error))
            outcome = status.code.name
            await context.abort_with_status(status)
            raise AssertionError("unreachable") from error
        finally:
            metrics.call(method.name, outcome, time.perf_counter() - started)

    return answering


async def _each(requests: AsyncIterator[bytes], parse: Callable[[bytes], Any]) -> AsyncIterator[Any]:
    async for sent in requests:
        yield parse(sent)
