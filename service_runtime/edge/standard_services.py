"""Adds the services for health and reflection of the gRPC libraries.

Their requests are parsed here too, so that bytes that are no message are answered as the caller's mistake.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


def add_standard_services(
    server: grpc.aio.Server, services: Sequence[str], *, reflect: bool
) -> health.aio.HealthServicer:
    """Adds health, and reflection if `reflect`. Returns the health service, which sets the states of services."""
    checking: Any = _Checking(server)
    serving = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(serving, checking)
    if reflect:
        names = (*services, health.SERVICE_NAME, reflection.SERVICE_NAME)
        add_reflection: Any = reflection_pb2_grpc.add_ServerReflectionServicer_to_server
        add_reflection(reflection.aio.ReflectionServicer(names), checking)
    return serving


class _Checking:
    """Is given to the libraries in place of the server when they add their services.

    It changes every method so that the method parses requests itself. It leaves out a method that is no coroutine,
    because the library has not implemented it (`List` of health), and each call would leave a stack trace in the log.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """Does nothing, because the libraries also add the same methods by name."""

    def add_registered_method_handlers(self, service: str, methods: dict[str, Any]) -> None:
        """Adds a service."""
        checked = {name: _checked(method) for name, method in methods.items() if _is_written(method)}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, checked),))


def _is_written(method: Any) -> bool:
    behaviour = method.unary_unary or method.unary_stream or method.stream_stream
    return inspect.iscoroutinefunction(behaviour) or inspect.isasyncgenfunction(behaviour)


def _checked(method: Any) -> grpc.RpcMethodHandler[Any, Any]:
    async def parsed(sent: bytes, context: Context) -> Any:
        try:
            return method.request_deserializer(sent)
        except DecodeError:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the bytes are no request of this method")

    async def answer(sent: bytes, context: Context) -> Any:
        return await (method.unary_unary or method.unary_stream)(await parsed(sent, context), context)

    async def converse(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:
        async for response in method.stream_stream(_each(requests, parsed, context), context):
            yield response

    if method.stream_stream is not None:
        return grpc.stream_stream_rpc_method_handler(converse, response_serializer=method.response_serializer)
    kind = grpc.unary_stream_rpc_method_handler if method.unary_stream else grpc.unary_unary_rpc_method_handler
    return kind(answer, response_serializer=method.response_serializer)


async def _each(requests: AsyncIterator[bytes], parsed: Callable[..., Any], context: Context) -> AsyncIterator[Any]:
    async for sent in requests:
        yield await parsed(sent, context)
