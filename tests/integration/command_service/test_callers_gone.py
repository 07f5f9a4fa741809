"""A stream's answer that finds its caller gone is no incident."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs
from tandem.orders.v1.order_command_service_pb2 import ImportOrdersRequest
from tandem.orders.v1.order_command_service_pb2_grpc import OrderCommandServiceStub

from command_service.handlers import order_commands
from command_service.handlers.call_terms import call_terms
from command_service.metrics import CommandMetrics
from service_runtime.edge import service_methods
from service_runtime.edge.service_methods import Call
from tests.support.waiting import eventually


async def incidents_of_a_caller_who_leaves() -> list[Any]:
    """The caller has left when the answer is written, and the method has not been told yet."""
    metrics, read, ended = CommandMetrics(), asyncio.Event(), asyncio.Event()

    async def importing(requests: AsyncIterator[Any], call: Call) -> None:
        async for _ in requests:
            read.set()
            break
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            try:
                await call.context.write(b"")
            finally:
                ended.set()

    server = grpc.aio.server()
    terms = call_terms(metrics.call, 600.0)
    handlers = service_methods.service_methods(order_commands.SERVICE, {"ImportOrders": importing}, terms)
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        with capture_logs() as logs:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                stream = OrderCommandServiceStub(channel).ImportOrders()
                await stream.write(ImportOrdersRequest())
                await read.wait()
                stream.cancel()
                await ended.wait()
            await eventually(lambda: counted(metrics), "the call is counted")
    finally:
        await server.stop(None)
    return [entry for entry in logs if entry["event"] == "incident"]


def counted(metrics: CommandMetrics) -> bool:
    """Whether a call has ended."""
    return any(
        sample.name == "command_calls_total" for family in metrics.registry.collect() for sample in family.samples
    )


async def test_a_caller_who_left_is_no_incident() -> None:
    assert await incidents_of_a_caller_who_leaves() == []


@pytest.mark.mutant
async def test_a_caller_who_is_taken_for_a_fault_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_methods, "found_nobody", lambda _: False)
    (incident,) = await incidents_of_a_caller_who_leaves()
    assert incident["error"] == "ExecuteBatchError"
