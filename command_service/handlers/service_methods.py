"""A service's methods as gRPC takes them: those served, and a refusal for each method of the contract that is not."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import grpc
from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from grpc_status import rpc_status
from tandem.orders.errors import FieldViolation

from command_service.handlers.caller import Context
from command_service.handlers.request_validation import InvalidRequest
from command_service.handlers.status import NotImplementedYet, status_of
from command_service.metrics import CommandMetrics

#: Request and context → the response's bytes: those stored are sent as they are.
Behaviour = Callable[[Any, Context], Awaitable[bytes]]
#: A stream of requests and a context, to which the responses' bytes are written.
StreamBehaviour = Callable[[Any, Context], Awaitable[None]]


def service_methods(
    service: ServiceDescriptor, served: Mapping[str, Behaviour | StreamBehaviour], metrics: CommandMetrics
) -> grpc.GenericRpcHandler:
    """All methods of `service`; raises KeyError for a served one that the contract does not have."""
    unknown = set(served) - set(service.methods_by_name)
    if unknown:
        raise KeyError(f"{service.full_name} has no methods {sorted(unknown)}")
    return grpc.method_handlers_generic_handler(
        service.full_name,
        {method.name: _handler(method, served.get(method.name), metrics) for method in service.methods},
    )


def _handler(
    method: MethodDescriptor, behaviour: Behaviour | StreamBehaviour | None, metrics: CommandMetrics
) -> grpc.RpcMethodHandler[Any, Any]:
    async def refuse(_: Any, context: Context) -> bytes:
        raise NotImplementedYet(method.name)

    answering = _answering(method, behaviour or refuse, metrics)
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
    method: MethodDescriptor, behaviour: Behaviour | StreamBehaviour, metrics: CommandMetrics
) -> Callable[[Any, Context], Awaitable[bytes | None]]:
    parse = _parser(method.input_type)

    async def answering(request: Any, context: Context) -> bytes | None:
        started, outcome = time.perf_counter(), "ABANDONED"
        try:
            parsed = _each(request, parse) if method.client_streaming else parse(request)
            response = await behaviour(parsed, context)
            outcome = "OK"
            return response
        except Exception as error:
            status = rpc_status.to_status(status_of(error))
            outcome = status.code.name
            await context.abort_with_status(status)
            raise AssertionError("unreachable") from error
        finally:
            metrics.call(method.name, outcome, time.perf_counter() - started)

    return answering


def _parser(request: Descriptor) -> Callable[[bytes], Any]:
    message_class = GetMessageClass(request)

    def parse(sent: bytes) -> Any:
        try:
            return message_class.FromString(sent)
        except DecodeError:
            raise InvalidRequest([FieldViolation("", f"the bytes are no {request.name}")]) from None

    return parse


async def _each(requests: AsyncIterator[bytes], parse: Callable[[bytes], Any]) -> AsyncIterator[Any]:
    async for sent in requests:
        yield parse(sent)
