"""The callers' helper on a real channel: it goes on through an outage, and the command is done once."""

from __future__ import annotations

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor

import grpc
from tandem.orders.client import COMMANDS, channel_options
from tandem.orders.retry import RetryPolicy, repeat
from tandem.orders.v1.order_command_service_pb2 import PlaceOrderRequest, PlaceOrderResponse
from tandem.orders.v1.order_command_service_pb2_grpc import OrderCommandServiceStub

from devstack.servers.ports import HOST, free_port
from tests.fixtures.command_process import CommandProcess
from tests.fixtures.write_model import execute
from tests.support.commands.orders import place_order_request


def placed(address: str, request: PlaceOrderRequest, tries: list[str]) -> PlaceOrderResponse:
    """As a caller with threads does it."""
    with grpc.insecure_channel(address, options=channel_options(COMMANDS)) as channel:
        stub = OrderCommandServiceStub(channel)

        def counted(sent: PlaceOrderRequest, *, timeout: float | None = None) -> PlaceOrderResponse:
            tries.append(sent.request_id)
            return stub.PlaceOrder(sent, timeout=timeout)

        return repeat(counted, request, RetryPolicy(give_up_after=240.0))


async def test_a_caller_with_threads_waits_out_an_outage(command_database: str) -> None:
    process = CommandProcess({"COMMAND_DATABASE_URL": command_database, "COMMAND_LISTEN": f"{HOST}:{free_port()}"})
    await process.serve()
    address = process.address
    await process.kill()
    request, tries = place_order_request(random.Random()), list[str]()
    request.request_id = ""
    with ThreadPoolExecutor(1) as threads:
        calling = asyncio.get_running_loop().run_in_executor(threads, placed, address, request, tries)
        async with asyncio.timeout(200):
            while len(tries) < 2:
                await asyncio.sleep(0.01)
        await process.serve()
        try:
            answer = await calling
        finally:
            await process.kill()
    assert len(set(tries)) == 1
    assert request.request_id == tries[0]
    assert answer.version == 1
    assert await execute(command_database, "SELECT request_id::text FROM command_log") == [(tries[0],)]
