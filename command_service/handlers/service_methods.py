"""A service's methods as gRPC takes them: those served, and a refusal for each method of the contract that is not."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass
from grpc_status import rpc_status

from command_service.handlers.caller import Context
from command_service.handlers.status import NotImplementedYet, status_of
from command_service.metrics import CommandMetrics

#: Request and context → the response's bytes: those stored are sent as they are.
Behaviour = Callable[[Any, Context], Awaitable[bytes]]


def service_methods(
    service: ServiceDescriptor, served: Mapping[str, Behaviour], metrics: CommandMetrics
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
    method: MethodDescriptor, behaviour: Behaviour | None, metrics: CommandMetrics
) -> grpc.RpcMethodHandler[Any, Any]:
    request_class = GetMessageClass(method.input_type)
    if behaviour is not None:
        return grpc.unary_unary_rpc_method_handler(
            _answering(method.name, behaviour, metrics), request_deserializer=request_class.FromString
        )

    async def refuse(_: Any, context: Context) -> bytes:
        raise NotImplementedYet(method.name)

    async def refuse_stream(_: Any, context: Context) -> None:
        await context.abort_with_status(rpc_status.to_status(status_of(NotImplementedYet(method.name))))

    if method.client_streaming and method.server_streaming:
        return grpc.stream_stream_rpc_method_handler(refuse_stream)
    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(refuse_stream)
    return grpc.unary_unary_rpc_method_handler(_answering(method.name, refuse, metrics))


def _answering(method: str, behaviour: Behaviour, metrics: CommandMetrics) -> Behaviour:
    async def answering(request: Any, context: Context) -> bytes:
        started, outcome = time.perf_counter(), "ABANDONED"
        try:
            response = await behaviour(request, context)
            outcome = "OK"
            return response
        except Exception as error:
            status = rpc_status.to_status(status_of(error))
            outcome = status.code.name
            await context.abort_with_status(status)
            raise AssertionError("unreachable") from error
        finally:
            metrics.call(method, outcome, time.perf_counter() - started)

    return answering
