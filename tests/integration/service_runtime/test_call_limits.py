"""The limit on calls at once, on a real server: whoever comes too late is refused before the call costs anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc
import pytest
from google.rpc import status_pb2
from tandem.orders.errors import from_rpc_error

from command_service.application.errors import Overloaded
from command_service.handlers import status as of_commands
from query_service.handlers.grpc import status as of_queries
from service_runtime.edge.call_limits import ConcurrencyLimit, Handler, LimitedMethods
from service_runtime.edge.grpc_server import GrpcLimits, GrpcServer
from tests.support.source_mutants import Mutant, noticed
from tests.support.waiting import eventually

LIMIT, CALLS = 3, 40
SERVICE, WORK = "tests.Busy", "/tests.Busy/Work"
Context = grpc.aio.ServicerContext[bytes, bytes]


class Counted(LimitedMethods):
    """Counts the calls that gRPC has told of."""

    told = 0

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        self.told += 1
        return super().service(handler_call_details)


class Busy:
    """A server whose calls last until they are let go, and somebody who calls it."""

    def __init__(self, overloaded: status_pb2.Status) -> None:
        self.limit = ConcurrencyLimit(LIMIT, overloaded)
        self.read = self.entered = 0
        self.go = asyncio.Event()
        handler: Handler = grpc.unary_unary_rpc_method_handler(self._work, request_deserializer=self._read)
        self.methods = Counted(grpc.method_handlers_generic_handler(SERVICE, {"Work": handler}), self.limit)
        self.calls: list[asyncio.Task[str]] = []

    def _read(self, request: bytes) -> bytes:
        self.read += 1
        return request

    async def _work(self, request: bytes, _: Context) -> bytes:
        self.entered += 1
        await self.go.wait()
        return request

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[grpc.aio.Channel]:
        """A channel to the server."""
        server = GrpcServer("127.0.0.1:0", GrpcLimits(), services=[])
        server.server.add_generic_rpc_handlers((self.methods,))
        address = await server.start()
        try:
            async with grpc.aio.insecure_channel(address) as channel:
                try:
                    yield channel
                finally:
                    self.go.set()
                    await asyncio.gather(*self.calls)
        finally:
            await server.stop()

    def start(self, answer: Awaitable[bytes]) -> None:
        """Notes what becomes of a call: OK, or the refusal."""

        async def outcome() -> str:
            try:
                await answer
            except grpc.aio.AioRpcError as error:
                refusal = from_rpc_error(error)
                return f"{refusal.code.name} {refusal.reason} {refusal.retry_delay is not None}"
            return "OK"

        self.calls.append(asyncio.ensure_future(outcome()))

    async def settled(self, calls: int) -> None:
        """Returns when each of so many calls has been let in or has ended."""
        await eventually(
            lambda: (
                sum(call.done() for call in self.calls) + self.limit.running >= calls
                and self.entered >= self.limit.running
            ),
            f"{calls} calls",
        )

    def refusals(self) -> list[str]:
        """What the calls that have ended were told."""
        return [call.result() for call in self.calls if call.done()]


REFUSED = "RESOURCE_EXHAUSTED OVERLOADED True"


async def check_too_late(busy: Busy) -> None:
    """The server is full; whoever comes then is refused, and what they sent is not even read."""
    async with busy.serving() as channel:
        work: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(WORK)
        for _ in range(LIMIT):
            busy.start(work(b"early", timeout=240))
        await eventually(lambda: busy.entered == LIMIT, "a full server")
        for _ in range(CALLS):
            busy.start(work(b"late", timeout=240))
        await busy.settled(LIMIT + CALLS)
        assert busy.refusals() == [REFUSED] * CALLS
        assert (busy.entered, busy.read, busy.limit.refused) == (LIMIT, LIMIT, CALLS)
        busy.go.set()
        await asyncio.gather(*busy.calls)
        assert [call.result() for call in busy.calls[:LIMIT]] == ["OK"] * LIMIT
        for _ in range(LIMIT):
            assert await work(b"afterwards", timeout=240) == b"afterwards"


async def check_slow_senders(busy: Busy) -> None:
    """More calls than places are told of while there is room, and then all send their requests."""
    async with busy.serving() as channel:
        send: grpc.aio.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(WORK)
        slow = [send(timeout=240) for _ in range(LIMIT + 2)]
        await eventually(lambda: busy.methods.told == len(slow), "all are told of")
        assert busy.limit.running == 0
        for call in slow:
            await call.write(b"at last")
            await call.done_writing()
            busy.start(call)
        await busy.settled(len(slow))
        assert busy.refusals() == [REFUSED] * 2
        assert (busy.entered, busy.limit.running) == (LIMIT, LIMIT)


Check = Callable[[Busy], Awaitable[None]]
#: What each service tells those who come too late.
OVERLOADED = {"commands": of_commands.status_of(Overloaded()), "queries": of_queries.status_of(of_queries.Overloaded())}
NEITHER_BEFORE_NOR_AFTER = [
    Mutant(LimitedMethods.service, "self._limit.refusing if self._limit.reached else limited", "limited"),
    Mutant(ConcurrencyLimit.wrap, "self.running >= self._limit", "False"),
]


@pytest.mark.parametrize("service", OVERLOADED)
@pytest.mark.parametrize("check", [check_too_late, check_slow_senders])
async def test_a_full_server_refuses_and_says_when_to_come_back(check: Check, service: str) -> None:
    await check(Busy(OVERLOADED[service]))


@pytest.mark.mutant
@pytest.mark.parametrize(
    ("check", "mutants"),
    [
        (check_too_late, NEITHER_BEFORE_NOR_AFTER),
        (check_too_late, NEITHER_BEFORE_NOR_AFTER[:1]),  # refused only when the request was read
        (check_slow_senders, NEITHER_BEFORE_NOR_AFTER[1:]),
        (check_too_late, [Mutant(ConcurrencyLimit.wrap, "self.running -= 1", "pass")]),
    ],
    ids=["no limit", "read first", "slow senders are let in", "places are not given back"],
)
async def test_a_limit_that_does_not_hold_is_noticed(check: Check, mutants: list[Mutant]) -> None:
    with noticed(*mutants, or_raises=(grpc.aio.AioRpcError,)):
        await check(Busy(OVERLOADED["commands"]))
