"""The methods of the contract's query service as gRPC takes them: those served, and a refusal for every other one."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn, Protocol

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from grpc_status import rpc_status

from query_service.application.ports.errors import Behind, DependencyDown, ReadStoreNotReady
from query_service.handlers.grpc.status import NotImplementedYet, status_of
from service_runtime.edge.call_limits import bounded
from service_runtime.edge.request_bytes import parser_of
from service_runtime.edge.request_validation import InvalidRequest, Violation

Context = grpc.aio.ServicerContext[Any, Any]
#: A message, or one that is encoded already.
Response = Message | bytes
#: Request, and the seconds that remain for the answer → response.
Question = Callable[[Any, float], Awaitable[Response]]
#: Method, status code, seconds.
OnCall = Callable[[str, str, float], None]
#: Kept back from the caller's deadline, so that a refusal still arrives in time. Seconds.
RESERVE_SECONDS = 0.05
#: Keeps a client whose service config retries UNAVAILABLE from doing so.
NO_RETRY = ("grpc-retry-pushback-ms", "-1")


class StoreVoice(Protocol):
    """What is to be said when the read store does not answer."""

    def late(self) -> Exception:
        """Why an answer did not come in time."""

    def refused(self, error: DependencyDown | ReadStoreNotReady) -> None:
        """Takes note of a call that was refused for want of the store."""


def service_methods(
    service: ServiceDescriptor,
    served: Mapping[str, Question],
    on_call: OnCall,
    deadline_cap: float,
    store: StoreVoice,
) -> grpc.GenericRpcHandler:
    """A handler of all methods of `service`.

    A call ends with `store.late()` after `deadline_cap` seconds, or before the caller's own deadline when that is
    sooner.
    """
    handlers = {
        method.name: _handler(method, served.get(method.name) or _refusal(method), on_call, deadline_cap, store)
        for method in service.methods
    }
    return grpc.method_handlers_generic_handler(service.full_name, handlers)


def _handler(
    method: MethodDescriptor,
    question: Question,
    on_call: OnCall,
    deadline_cap: float,
    store: StoreVoice,
) -> grpc.RpcMethodHandler[Any, Any]:
    parse = parser_of(method.input_type, lambda sentence: InvalidRequest([Violation("", sentence)]))

    async def answering(request: bytes, context: Context) -> Response:
        started, outcome = time.perf_counter(), "ABANDONED"
        try:
            remaining = context.time_remaining()
            limit = deadline_cap if remaining is None else min(deadline_cap, max(0.0, remaining - RESERVE_SECONDS))
            response = await bounded(question(parse(request), limit), limit, store.late)
            outcome = "OK"
            return response
        except Exception as error:
            if isinstance(error, DependencyDown | ReadStoreNotReady):
                store.refused(error)
            status = rpc_status.to_status(status_of(error))
            outcome = status.code.name
            # Behind: it was waited for already, as long as the caller wished; another attempt would wait again.
            no_retry = (NO_RETRY,) if isinstance(error, Behind) else ()
            await context.abort(status.code, status.details, (*status.trailing_metadata, *no_retry))
            raise AssertionError("unreachable") from error
        finally:
            on_call(method.name, outcome, time.perf_counter() - started)

    if not method.server_streaming:
        return grpc.unary_unary_rpc_method_handler(answering, response_serializer=_serialize)

    async def stream(request: bytes, context: Context) -> None:
        await answering(request, context)

    return grpc.unary_stream_rpc_method_handler(stream)


def _serialize(response: Response) -> bytes:
    return response if isinstance(response, bytes) else response.SerializeToString()


def _refusal(method: MethodDescriptor) -> Question:
    async def refuse(_: Any, __: float) -> NoReturn:
        raise NotImplementedYet(method.name)

    return refuse
