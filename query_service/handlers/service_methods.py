"""The methods of the contract's query service as gRPC takes them: those served, and a refusal for every other one."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn

import grpc
import structlog
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_status import rpc_status

from query_service.application.errors import Behind, DependencyDown, ReadStoreNotReady
from query_service.handlers.status import NotImplementedYet, status_of

_log = structlog.get_logger(__name__)
Context = grpc.aio.ServicerContext[Any, Any]
#: A message, or one that is encoded already.
Response = Message | bytes
#: Request, and the seconds that remain for the answer (None: no deadline) → response.
Question = Callable[[Any, float | None], Awaitable[Response]]
#: Method, status code, seconds.
OnCall = Callable[[str, str, float], None]
#: Kept back from the caller's deadline, so that a refusal still arrives in time. Seconds.
RESERVE_SECONDS = 0.05
#: Keeps a client whose service config retries UNAVAILABLE from doing so.
NO_RETRY = ("grpc-retry-pushback-ms", "-1")


def service_methods(
    service: ServiceDescriptor, served: Mapping[str, Question], on_call: OnCall
) -> grpc.GenericRpcHandler:
    """A handler of all methods of `service`."""
    handlers = {method.name: _handler(method, served.get(method.name), on_call) for method in service.methods}
    return grpc.method_handlers_generic_handler(service.full_name, handlers)


def _handler(method: MethodDescriptor, question: Question | None, on_call: OnCall) -> grpc.RpcMethodHandler[Any, Any]:
    request_class = GetMessageClass(method.input_type)
    if question is None:
        question = _refusal(method)
    answering = _answering(method.name, question, on_call)
    if method.server_streaming:

        async def stream(request: Any, context: Context) -> None:
            await answering(request, context)

        return grpc.unary_stream_rpc_method_handler(stream, request_deserializer=request_class.FromString)
    return grpc.unary_unary_rpc_method_handler(
        answering, request_deserializer=request_class.FromString, response_serializer=_serialize
    )


def _serialize(response: Response) -> bytes:
    return response if isinstance(response, bytes) else response.SerializeToString()


def _refusal(method: MethodDescriptor) -> Question:
    async def refuse(_: Any, __: float | None) -> NoReturn:
        raise NotImplementedYet(method.name)

    return refuse


def _answering(method: str, question: Question, on_call: OnCall) -> Callable[[Any, Context], Awaitable[Response]]:
    async def answering(request: Any, context: Context) -> Response:
        started, outcome = time.perf_counter(), "ABANDONED"
        try:
            remaining = context.time_remaining()
            response = await question(request, None if remaining is None else max(0.0, remaining - RESERVE_SECONDS))
            outcome = "OK"
            return response
        except Exception as error:
            if isinstance(error, DependencyDown | ReadStoreNotReady):
                _log.warning("dependency unavailable", method=method, reason=str(error))
            status = rpc_status.to_status(status_of(error))
            outcome = status.code.name
            # Behind: it was waited for already, as long as the caller wished; another attempt would wait again.
            no_retry = (NO_RETRY,) if isinstance(error, Behind) else ()
            await context.abort(status.code, status.details, (*status.trailing_metadata, *no_retry))
            raise AssertionError("unreachable") from error
        finally:
            on_call(method, outcome, time.perf_counter() - started)

    return answering
