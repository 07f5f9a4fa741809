"""Far too many callers, callers who say nothing, a pool that is used up: refusals with a time, and no trace of them."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import psycopg
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tandem.orders.errors import from_rpc_error
from tandem.orders.v1.order_command_service_pb2 import PlaceOrderRequest
from tandem.orders.v1.order_command_service_pb2_grpc import OrderCommandServiceStub

from bench.harness.process_usage import peak_memory_mib
from service_runtime.edge.grpc_server import GrpcLimits, GrpcServer
from tests.fixtures.command_process import CommandProcess, serving
from tests.fixtures.write_model import execute
from tests.support.commands.orders import place_order_request
from tests.support.faults.http2_frames import END_HEADERS, HEADERS, call_headers, connection, frame
from tests.support.waiting import eventually

CALLERS, LIMIT, CHANNELS = 2_000, 200, 20
#: The service without a call takes some 90 MiB; a burst of calls may take so much more, whatever their number.
BURST_MIB = 100.0
OK = "OK"
REFUSED = "RESOURCE_EXHAUSTED OVERLOADED"
IN_DATABASE = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@asynccontextmanager
async def channels(address: str, count: int) -> AsyncIterator[list[grpc.aio.Channel]]:
    """Connections of their own: one alone would make callers wait at their end."""
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
            )
            for _ in range(count)
        ]


async def outcome(channel: grpc.aio.Channel, request: PlaceOrderRequest) -> str:
    """What became of a call. A refusal without a time to come back gets another name than REFUSED."""
    try:
        await OrderCommandServiceStub(channel).PlaceOrder(request, timeout=240)
    except grpc.aio.AioRpcError as error:
        refusal = from_rpc_error(error)
        later = "" if refusal.retry_delay else " at once"
        return f"{refusal.code.name} {refusal.reason}{later}"
    return OK


class Burst:
    """Callers all at once, each with an order of its own; `ended`: how their calls ended so far."""

    def __init__(self, callers: int) -> None:
        source = random.Random()
        self._requests = [place_order_request(source) for _ in range(callers)]
        self.ended: Counter[str] = Counter()

    async def run(self, process: CommandProcess) -> Counter[str]:
        """Sends everything and returns when all have ended."""
        async with channels(process.address, CHANNELS) as opened:
            await asyncio.gather(
                *(self._send(opened[n % CHANNELS], request) for n, request in enumerate(self._requests))
            )
        return self.ended

    async def _send(self, channel: grpc.aio.Channel, request: PlaceOrderRequest) -> None:
        self.ended[await outcome(channel, request)] += 1


async def test_two_thousand_at_once_on_a_server_for_two_hundred(command_database: str) -> None:
    # No call ends for having taken long: on a loaded machine the refusals of all others do.
    async with serving(command_database, max_concurrent_rpcs=str(LIMIT), deadline_cap_seconds="240") as process:
        assert await Burst(20).run(process) == {OK: 20}
        before = peak_memory_mib(process.pid)
        burst = Burst(CALLERS)
        async with await psycopg.AsyncConnection.connect(command_database) as blocker:
            await blocker.execute("LOCK TABLE customers")  # so that nobody is done before all have come
            calls = asyncio.create_task(burst.run(process))
            await eventually(lambda: burst.ended[REFUSED] >= CALLERS - LIMIT, f"refusals: {burst.ended}")
            # Nobody has got further than to the database's door: as many as there are connections.
            assert (await execute(command_database, IN_DATABASE))[0] <= (16,)
            await blocker.rollback()
        ended = await calls
        assert ended.keys() == {OK, REFUSED}, "each call ends in one of two ways"
        assert ended.total() == CALLERS
        assert ended[OK] >= 16, "those that had a connection finish; others may have waited too long for one"
        for table in ("command_log", "orders", "outbox"):
            assert await execute(command_database, f"SELECT count(*) FROM {table}") == [(20 + ended[OK],)]
        assert peak_memory_mib(process.pid) - before < BURST_MIB
        assert await Burst(20).run(process) == {OK: 20}


async def test_a_pool_that_is_used_up_refuses_after_a_while(command_database: str) -> None:
    async with (
        serving(command_database, pool_size="1") as process,
        await psycopg.AsyncConnection.connect(command_database) as blocker,
        channels(process.address, 1) as (channel,),
    ):
        await blocker.execute("LOCK TABLE orders")
        calls = [asyncio.create_task(outcome(channel, place_order_request(random.Random(n)))) for n in range(3)]
        done: set[asyncio.Task[str]] = set()
        async with asyncio.timeout(200):
            while len(done) < 2:
                done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED, timeout=0.1)
        assert [call.result() for call in done] == [REFUSED] * 2
        assert await execute(command_database, IN_DATABASE) == [(1,)]
        await blocker.rollback()
        assert sorted(await asyncio.gather(*calls)) == [OK, REFUSED, REFUSED]


async def test_who_connects_and_says_nothing_is_hung_up_on_and_keeps_nobody_out() -> None:
    server = GrpcServer("127.0.0.1:0", GrpcLimits(max_connections=50, handshake_seconds=3.0), services=[])
    address = await server.start()
    host, _, port = address.rpartition(":")
    silent = [await asyncio.open_connection(host, int(port)) for _ in range(50)]
    try:
        await full(host, int(port))
        async with asyncio.timeout(200):
            await asyncio.gather(*(reader.read() for reader, _ in silent))  # ends with the connection
        async with grpc.aio.insecure_channel(address) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            answer = await stub.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=120)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
    finally:
        for _, writer in silent:
            writer.close()
        await server.stop()


async def full(host: str, port: int) -> None:
    """Returns once a further connection is closed without a word."""
    async with asyncio.timeout(120):
        while True:
            reader, writer = await asyncio.open_connection(host, port)
            with contextlib.suppress(ConnectionError):
                if await reader.read(1) == b"":
                    writer.close()
                    return
            writer.close()


async def test_callers_who_never_send_their_request_take_no_place(command_process: CommandProcess) -> None:
    """HTTP/2 by hand: headers of a call without a body, more of them than may run at once."""
    headers = call_headers("/tandem.orders.v1.OrderCommandService/PlaceOrder")
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(3):
            opened = await stack.enter_async_context(connection(command_process.address))
            opened.send(*(frame(HEADERS, END_HEADERS, stream, headers) for stream in range(1, 200, 2)))
        (channel,) = await stack.enter_async_context(channels(command_process.address, 1))
        for n in range(20):
            assert await outcome(channel, place_order_request(random.Random(n))) == OK
