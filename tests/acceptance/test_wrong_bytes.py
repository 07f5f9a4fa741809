"""Bytes that are no message, and messages of random values: for every method that either process serves.

None is answered as a fault of the server, none in the words of a library, none leaves a trace in the log; and what the
contract's services refuse is counted.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from tandem.orders.errors import from_rpc_error

from query_service.handlers.grpc.call_terms import call_terms
from query_service.handlers.grpc.order_queries import SERVICE
from service_runtime.edge import service_methods
from service_runtime.edge.grpc_server import GrpcLimits, GrpcServer
from tests.acceptance.test_metrics import scrape
from tests.contract.test_unimplemented import SERVICES
from tests.fixtures.system import System
from tests.support.chance import new_seed, tell
from tests.support.queries.no_store import NoStore
from tests.support.random_messages import UNKNOWN_FIELDS, change_somewhere, random_message

#: No message of any type.
NO_MESSAGE = {
    "a byte that promises more": b"\xff",
    "a number without an end": b"\xff" * 20,
    "a text that is cut off": b"\x0a\x05abc",
    "a length without a text": b"\x0a",
    "a kind of field that there is not": b"\x0f\x00",
    "the end of a group that did not begin": b"\x0c",
    "a group without an end": b"\x0b",
    "an HTTP request": b"GET / HTTP/1.1\r\n\r\n",
}
STANDARD: tuple[Any, ...] = (
    health_pb2.DESCRIPTOR.services_by_name["Health"],
    reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"],
)
NOT_WRITTEN = "List"
FAULTS = {"INTERNAL", "UNKNOWN", "UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED", "DATA_LOSS"}
#: Streams that answer until the caller leaves.
WITHOUT_END = {"grpc.health.v1.Health.Watch", "tandem.orders.v1.OrderQueryService.WatchOrders"}
#: What a library says in its own words, to callers or to the log.
LIBRARY = re.compile(r"Unexpected|Exception|Error\b|Traceback|<class|google\.protobuf|deserializ", re.IGNORECASE)


def methods_of(*services: ServiceDescriptor) -> Iterator[MethodDescriptor]:
    for service in services:
        yield from (method for method in service.methods if method.name != NOT_WRITTEN)


async def _outcome(channel: grpc.aio.Channel, method: MethodDescriptor, sent: bytes) -> tuple[str, str]:
    """Code and reason of a call with one request; the words must be ours."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    raw: Any = channel
    try:
        if method.client_streaming:
            answers = raw.stream_stream(path)(iter([sent]), timeout=60)
        elif method.server_streaming:
            answers = raw.unary_stream(path)(sent, timeout=60)
        else:
            await raw.unary_unary(path)(sent, timeout=60)
            return "OK", ""
        if method.full_name in WITHOUT_END:
            await answers.read()  # its end is for the caller to choose
            answers.cancel()
            return "OK", ""
        async for _ in answers:
            pass
    except grpc.aio.AioRpcError as error:
        refused = error
    else:
        return "OK", ""
    assert not LIBRARY.search(refused.details() or ""), refused.details()
    refusal = from_rpc_error(refused)
    return refusal.code.name, refusal.reason


async def check_it_is_refused(channel: grpc.aio.Channel, method: MethodDescriptor) -> None:
    """Each of them is the caller's mistake, and said to be one."""
    reason = "" if method.containing_service in STANDARD else "INVALID_REQUEST"
    for what, sent in NO_MESSAGE.items():
        with pytest.raises(DecodeError):
            GetMessageClass(method.input_type).FromString(sent)
        assert await _outcome(channel, method, sent) == ("INVALID_ARGUMENT", reason), what


@pytest.mark.parametrize("part", SERVICES)
async def test_bytes_that_are_no_message_are_the_callers_mistake(system: System, part: str) -> None:
    process = "query-serve" if part == "query" else "command"
    before = await asyncio.to_thread(system.processes[process].log.read_text)
    counted = await _counted(system, process)
    async with grpc.aio.insecure_channel(system.address_of(part)) as channel:
        for method in methods_of(SERVICES[part], *STANDARD):
            await check_it_is_refused(channel, method)
    more = await _counted(system, process)
    for method in methods_of(SERVICES[part]):
        assert more[method.name] - counted[method.name] == len(NO_MESSAGE), f"{method.name} is not counted"
    log = await asyncio.to_thread(system.processes[process].log.read_text)
    assert not LIBRARY.search(log.removeprefix(before))


async def _counted(system: System, process: str) -> Counter[str]:
    """Method → calls that ended with INVALID_ARGUMENT, of a process."""
    page = await asyncio.to_thread(scrape, system.processes[process].probes)
    labels = r'\w+_calls_total\{code="INVALID_ARGUMENT",method="(\w+)"\} (\S+)'
    return Counter({name: round(float(count)) for name, count in re.findall(labels, page)})


async def test_random_messages_and_bytes_are_no_fault_of_the_read_side(system: System) -> None:
    await _fuzz(system, 600)


@pytest.mark.long
@pytest.mark.timeout(3_600)
async def test_fifty_thousand_random_messages_are_no_fault_of_the_read_side(system: System) -> None:
    await _fuzz(system, 50_000)


async def _fuzz(system: System, calls: int) -> None:
    source, ended = random.Random(new_seed()), Counter[str]()
    before = await asyncio.to_thread(system.processes["query-serve"].log.read_text)
    methods = list(methods_of(SERVICES["query"], *STANDARD))
    async with grpc.aio.insecure_channel(system.query_address) as channel:
        for _ in range(0, calls, 20):
            asked = [(method := source.choice(methods), _request(source, method)) for _ in range(20)]
            outcomes = await asyncio.gather(*(_outcome(channel, method, sent) for method, sent in asked))
            ended.update(f"{method.name} {' '.join(how)}" for (method, _), how in zip(asked, outcomes, strict=True))
            assert not [name for name in ended if name.split()[1] in FAULTS], ended
    tell(f"{calls} calls; {dict(ended)}")
    assert len(ended) >= 12, "the requests are not varied enough"
    log = await asyncio.to_thread(system.processes["query-serve"].log.read_text)
    assert not LIBRARY.search(log.removeprefix(before))


def _request(source: random.Random, method: MethodDescriptor) -> bytes:
    kind = source.random()
    if kind < 0.1:
        return source.randbytes(source.randrange(200))
    if kind < 0.4:
        message = random_message(source, method.input_type)
    else:  # most fields of a question may be left out
        message = GetMessageClass(method.input_type)()
        for _ in range(source.choice((0, 1, 2, 4)) if message.DESCRIPTOR.fields else 0):
            change_somewhere(source, message)
    return bytes(message.SerializeToString()) + (UNKNOWN_FIELDS if source.random() < 0.05 else b"")


async def _serving_nothing() -> AsyncIterator[str]:
    server = GrpcServer("127.0.0.1:0", GrpcLimits(), services=[SERVICE.full_name])
    server.add(service_methods.service_methods(SERVICE, {}, call_terms(lambda *_: None, 30.0, NoStore())))
    yield await server.start()
    await server.stop()


@pytest.mark.mutant
async def test_a_parser_that_lets_the_librarys_error_out_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_methods, "parser_of", lambda request, _: GetMessageClass(request).FromString)
    async for address in _serving_nothing():
        async with grpc.aio.insecure_channel(address) as channel:
            with pytest.raises(AssertionError):
                await check_it_is_refused(channel, SERVICE.methods_by_name["GetOrder"])
