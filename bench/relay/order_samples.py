"""Gets real events from the command service: places orders over gRPC and reads their outbox rows."""

from __future__ import annotations

from dataclasses import dataclass

import grpc
import psycopg
from tandem.orders.v1.order_command_service_pb2_grpc import OrderCommandServiceStub

from bench.harness.servers import Servers
from devstack.importers.sample_orders import SampleShop
from devstack.servers.ports import HOST, free_port
from devstack.stack.service_process import ServiceProcess, run_once

ORDERS = 500


@dataclass(frozen=True, slots=True)
class Sample:
    """The parts in which events differ here. `payload` and `personal` are JSON texts; `personal` may be None."""

    event_type: str
    payload: str
    personal: str | None


async def order_events(servers: Servers) -> list[Sample]:
    """Returns the events of ORDERS sample orders. Each event contains the whole order, as real events do."""
    url = await servers.postgres.ensure_database("bench_samples")
    directory = servers.directory / "samples"
    settings = {
        "COMMAND_DATABASE_URL": url,
        "COMMAND_LISTEN": f"{HOST}:{free_port()}",
        "COMMAND_EXPORT_LISTEN": "",
        "COMMAND_PROBES_LISTEN": f"{HOST}:{free_port()}",
    }
    await run_once("migrate", ["command_service", "migrate"], settings, directory)
    service = ServiceProcess(
        "command",
        ["command_service", "serve"],
        settings=settings,
        probes=settings["COMMAND_PROBES_LISTEN"],
        directory=directory,
    )
    await service.start()
    try:
        async with grpc.aio.insecure_channel(settings["COMMAND_LISTEN"]) as channel:
            stub = OrderCommandServiceStub(channel)
            for request in SampleShop(ORDERS, seed=1).requests():
                await stub.PlaceOrder(request, timeout=30)
    finally:
        await service.stop()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        rows = await connection.execute(
            "SELECT event_type, payload::text, personal::text FROM outbox ORDER BY position"
        )
        return [Sample(*row) for row in await rows.fetchall()]
