"""One connection carries so many calls at once and no more: what is above is refused, or waits at the caller's end."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from bench.harness.process_usage import peak_memory_mib
from service_runtime.edge.grpc_server import GrpcLimits, GrpcServer
from tests.fixtures.command_process import CommandProcess, caller
from tests.support.commands.orders import place_order_request
from tests.support.faults.http2_frames import (
    ACK,
    END_HEADERS,
    HEADERS,
    PING,
    REFUSED_STREAM,
    RST_STREAM,
    call_headers,
    connection,
    frame,
)
from tests.support.waiting import eventually

REFUSAL = "come back later"
#: What 16,000 calls that were taken back may take: those that gRPC keeps until they are looked at.
TAKEN_BACK_MIB = 400.0
LIMIT = GrpcLimits().max_streams_per_connection
PLACE_ORDER = call_headers("/tandem.orders.v1.OrderCommandService/PlaceOrder")


async def opened_and_refused(address: str, streams: int) -> list[int]:
    """Opens so many calls on one connection, none of which ever sends its request; the numbers of those refused."""
    refused = []
    async with asyncio.timeout(200), connection(address) as opened:
        opened.send(*(frame(HEADERS, END_HEADERS, 2 * number + 1, PLACE_ORDER) for number in range(streams)))
        for _ in range(2):  # the first answer overtakes what was already said, the second one comes behind all of it
            opened.send(frame(PING, 0, 0, bytes(8)))
            while (came := await opened.receive()).kind != PING or not came.flags & ACK:
                if came.kind == RST_STREAM:
                    assert came.payload == REFUSED_STREAM
                    refused.append(came.stream // 2)
    return refused


async def check_one_more_than_allowed_is_refused(address: str) -> None:
    assert await opened_and_refused(address, LIMIT) == []
    assert await opened_and_refused(address, LIMIT + 1) == [LIMIT]


async def test_the_next_one_is_refused_and_others_are_served(command_process: CommandProcess) -> None:
    await check_one_more_than_allowed_is_refused(command_process.address)
    async with connection(command_process.address) as full, caller(command_process) as commands:
        full.send(*(frame(HEADERS, END_HEADERS, 2 * number + 1, PLACE_ORDER) for number in range(LIMIT)))
        assert (await commands.PlaceOrder(place_order_request(random.Random()), timeout=120)).version == 1


class Held(grpc.GenericRpcHandler):
    """Any method: a call ends when it is let go. `seen`: calls that came; `most`: as many at once."""

    def __init__(self) -> None:
        self._gate = asyncio.Semaphore(0)
        self._running = self.seen = self.most = 0

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Called by gRPC for each call."""
        behaviour: Any = self._hold
        return grpc.unary_unary_rpc_method_handler(behaviour)

    async def _hold(self, _: bytes, __: object) -> bytes:
        self.seen, self._running = self.seen + 1, self._running + 1
        self.most = max(self.most, self._running)
        await self._gate.acquire()
        self._running -= 1
        return b""

    def let_go(self, calls: int) -> None:
        """Ends so many calls."""
        for _ in range(calls):
            self._gate.release()


@asynccontextmanager
async def holding(limits: GrpcLimits) -> AsyncIterator[tuple[Held, str]]:
    """A server of held calls, and its address."""
    server, held = GrpcServer("127.0.0.1:0", limits, services=[], reflect=False), Held()
    server.add(held)
    address = await server.start()
    try:
        yield held, address
    finally:
        await server.stop()


class Refused(grpc.GenericRpcHandler):
    """Any method: every call is refused a moment later."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Called by gRPC for each call."""

        async def refuse(_: bytes, context: Any) -> None:
            await asyncio.sleep(0.001)
            await context.abort(grpc.StatusCode.UNAVAILABLE, REFUSAL)

        behaviour: Any = refuse
        return grpc.unary_unary_rpc_method_handler(behaviour)


async def refusals(limits: GrpcLimits) -> Counter[str]:
    """What callers are told who call again as soon as they are refused, on one connection, more than it carries."""
    server, told = GrpcServer("127.0.0.1:0", limits, services=[], reflect=False), Counter[str]()
    server.add(Refused())
    address = await server.start()
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            raw: Any = channel

            async def insist() -> None:
                for _ in range(4):
                    with pytest.raises(grpc.aio.AioRpcError) as refused:
                        await raw.unary_unary("/any/Thing")(b"", timeout=120)
                    told[refused.value.details() or ""] += 1

            await asyncio.gather(*(insist() for _ in range(3 * LIMIT)))
    finally:
        await server.stop()
    return told


async def test_callers_who_do_not_give_up_get_our_answer_each_time() -> None:
    assert await refusals(GrpcLimits()) == {REFUSAL: 12 * LIMIT}


class CountingWhatIsAnswered(GrpcLimits):
    """With gRPC's own protection, which resets calls while those before them are not forgotten."""

    def channel_options(self) -> list[tuple[str, int]]:
        """The server's channel arguments."""
        return [option for option in super().channel_options() if option[0] != "grpc.http.overload_protection"]


@pytest.mark.mutant
async def test_a_server_that_counts_what_is_answered_is_noticed() -> None:
    told = await refusals(CountingWhatIsAnswered())
    assert any("RST_STREAM" in sentence for sentence in told), told


async def test_calls_that_are_taken_back_at_once_fill_nothing(command_process: CommandProcess) -> None:
    """Opened and reset as fast as frames can be sent: others are served all the same, and memory has an end."""
    before = peak_memory_mib(command_process.pid)
    calls = b"".join(
        frame(HEADERS, END_HEADERS, stream, PLACE_ORDER) + frame(RST_STREAM, 0, stream, REFUSED_STREAM)
        for stream in range(1, 8 * LIMIT, 2)
    )
    for _ in range(20):
        async with asyncio.timeout(200), connection(command_process.address) as opened:
            opened.send(calls, frame(PING, 0, 0, bytes(8)))
            with contextlib.suppress(EOFError, ConnectionError):
                while (came := await opened.receive()).kind != PING or not came.flags & ACK:
                    pass
    async with caller(command_process) as commands:
        assert (await commands.PlaceOrder(place_order_request(random.Random()), timeout=120)).version == 1
    assert peak_memory_mib(command_process.pid) - before < TAKEN_BACK_MIB


@pytest.mark.mutant
async def test_a_limit_that_is_not_set_is_noticed() -> None:
    async with holding(GrpcLimits(max_streams_per_connection=10 * LIMIT)) as (_, address):
        with pytest.raises(AssertionError):
            await check_one_more_than_allowed_is_refused(address)


async def test_a_caller_who_keeps_to_it_waits_and_is_served() -> None:
    """gRPC's own client knows the limit: its next call is sent when one of the others has ended."""
    async with holding(GrpcLimits()) as (held, address):
        async with grpc.aio.insecure_channel(address) as channel:
            raw: Any = channel
            calls = [asyncio.ensure_future(raw.unary_unary("/any/Thing")(b"", timeout=120)) for _ in range(LIMIT + 1)]
            await eventually(lambda: held.seen == LIMIT, "all that may have come")
            held.let_go(1)
            await eventually(lambda: held.seen == LIMIT + 1, "the last one comes")
            held.let_go(LIMIT)
            assert await asyncio.gather(*calls) == [b""] * (LIMIT + 1)
        assert held.most == LIMIT
