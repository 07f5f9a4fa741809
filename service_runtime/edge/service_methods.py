"""Builds a service's methods for gRPC: those that it serves, and a refusal for every other method of the contract.

The same happens to every call: its bytes are parsed, the request is checked against its rules, the time is limited, an
error becomes a status, and the call is counted. In a stream, the requests are only parsed: the method itself must check
them and limit its time.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from service_runtime.edge.call_limits import bounded
from service_runtime.edge.caller_gone import found_nobody
from service_runtime.edge.refusals import NotImplementedYet, OutOfTime, Refusals
from service_runtime.edge.request_bytes import parser_of
from service_runtime.edge.request_validation import InvalidRequest, Violation

Context = grpc.aio.ServicerContext[Any, Any]
#: Called after each call with the method, the status code and the seconds that it took.
OnCall = Callable[[str, str, float], None]


@dataclass(slots=True)
class Call:
    """One call: gRPC's context, and how many seconds its answer may take (infinite for a stream)."""

    context: Context
    seconds: float


#: A message, or the bytes of one. A stream returns None and writes the bytes of its responses to the context itself.
Response: TypeAlias = Message | bytes | None
#: The function behind a method. It gets the request (or an iterator of them) and the call, and returns the response.
Behaviour = Callable[[Any, Call], Awaitable[Response]]


def _ignore(_: Exception) -> None:
    """Does nothing, for a service that does not observe its refusals."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What applies to every call of a service.

    `validate` raises InvalidRequest. A call that is no stream ends with the error `late()` after `deadline_cap`
    seconds, or `reserve` seconds before the caller's own deadline if that is earlier. So a refusal still arrives in
    time. `on_call` is called after each call, and `on_refusal` with each error that ends a call.
    """

    validate: Callable[[Any], None]
    refusals: Refusals
    on_call: OnCall
    deadline_cap: float
    reserve: float = 0.0
    late: Callable[[], Exception] = OutOfTime
    on_refusal: Callable[[Exception], None] = _ignore


def service_methods(
    service: ServiceDescriptor, served: Mapping[str, Behaviour], terms: Terms
) -> grpc.GenericRpcHandler:
    """Returns one gRPC handler that serves all methods of `service`.

    `served` maps the names of methods to what answers them; every other method is refused as not served yet. Raises
    KeyError if `served` names a method that `service` does not define.
    """
    unknown = set(served) - set(service.methods_by_name)
    if unknown:
        raise KeyError(f"{service.full_name} has no methods {sorted(unknown)}")
    return grpc.method_handlers_generic_handler(
        service.full_name, {method.name: _handler(method, served.get(method.name), terms) for method in service.methods}
    )


def _handler(method: MethodDescriptor, behaviour: Behaviour | None, terms: Terms) -> grpc.RpcMethodHandler[Any, Any]:
    is_stream = method.client_streaming or method.server_streaming
    parse = parser_of(method.input_type, lambda sentence: InvalidRequest([Violation("", sentence)]))
    answer = _refusal(method) if behaviour is None else behaviour
    validate = None if behaviour is None or is_stream else terms.validate

    async def answering(sent: Any, context: Context) -> bytes | None:
        started, outcome = time.perf_counter(), "ABANDONED"
        try:
            if is_stream:
                request = _each(sent, parse) if method.client_streaming else parse(sent)
                response = await answer(request, Call(context, math.inf))
            else:
                request = parse(sent)
                if validate is not None:
                    validate(request)
                seconds = _seconds(context.time_remaining(), terms)
                response = await bounded(answer(request, Call(context, seconds)), seconds, terms.late)
            encoded = response.SerializeToString() if isinstance(response, Message) else response
            outcome = "OK"
            return encoded
        except Exception as error:
            if found_nobody(error):  # a stream's caller left before the answer arrived
                raise
            terms.on_refusal(error)
            code, message, trailing = terms.refusals.sent(error)
            outcome = code.name
            await context.abort(code, message, trailing)
            raise AssertionError("unreachable") from error
        finally:
            terms.on_call(method.name, outcome, time.perf_counter() - started)

    # Without a deserializer, because gRPC would answer bytes that are no message with a server error.
    return _KINDS[method.client_streaming, method.server_streaming](answering)


def _seconds(remaining: float | None, terms: Terms) -> float:
    """Returns how many seconds the answer may take. `remaining` is how long the caller still waits; None for ever."""
    return terms.deadline_cap if remaining is None else min(terms.deadline_cap, max(0.0, remaining - terms.reserve))


async def _each(requests: AsyncIterator[bytes], parse: Callable[[bytes], Any]) -> AsyncIterator[Any]:
    async for sent in requests:
        yield parse(sent)


def _refusal(method: MethodDescriptor) -> Behaviour:
    async def refuse(_: Any, __: Call) -> NoReturn:
        raise NotImplementedYet(method.name)

    return refuse


#: (requests are a stream, responses are a stream) → the method's kind.
_KINDS: Mapping[tuple[bool, bool], Callable[..., grpc.RpcMethodHandler[Any, Any]]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
