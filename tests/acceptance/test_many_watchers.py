"""Two thousand watchers on one serving process: its memory, and that each of them gets every change."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from tandem.orders.v1.order_query_service_pb2 import WatchOrdersRequest
from tandem.orders.v1.order_query_service_pb2_grpc import OrderQueryServiceStub

from tests.fixtures.system import System, running_system
from tests.support.commands.orders import place_order_request

MOST_MEGABYTES = 300
PER_CHANNEL = 100


async def watch(stub: Any, begun: asyncio.Semaphore, count: int) -> list[tuple[str, int]]:
    """Returns the first `count` changes. Releases `begun` when the watch has given its first sign of life."""
    call = stub.WatchOrders(WatchOrdersRequest())
    await call.read()
    begun.release()
    got: list[tuple[str, int]] = []
    while len(got) < count:
        response = await call.read()
        if response.HasField("event"):
            got.append((response.event.order_id, response.event.order_version))
    return got


def megabytes(system: System) -> float:
    """The resident memory of the serving process."""
    pid = system.processes["query-serve"].pid
    assert pid is not None
    return float(psutil.Process(pid).memory_info().rss) / 1e6


async def many_watchers(system: System, watchers: int, orders: int) -> float:
    """Lets `watchers` watch `orders` new orders; returns the most memory that the serving process took."""
    before = megabytes(system)
    own_connection = [("grpc.use_local_subchannel_pool", 1)]  # otherwise all channels share one connection
    channels = [
        grpc.aio.insecure_channel(system.query_address, options=own_connection)
        for _ in range(-(-watchers // PER_CHANNEL))
    ]
    begun = asyncio.Semaphore(0)
    tasks = [
        asyncio.create_task(watch(OrderQueryServiceStub(channels[number // PER_CHANNEL]), begun, orders))
        for number in range(watchers)
    ]
    for _ in range(watchers):
        await begun.acquire()
    most = idle = megabytes(system)
    source = random.Random(1)
    placed: list[tuple[str, int]] = []
    for _ in range(orders):
        answer = await system.commands.PlaceOrder(place_order_request(source), timeout=60)
        placed.append((answer.order.order_id, 1))
        most = max(most, megabytes(system))
    gathered = asyncio.gather(*tasks)
    while not gathered.done():
        most = max(most, megabytes(system))
        await asyncio.wait({gathered}, timeout=0.2)
    print(  # noqa: T201 - the figure
        f"{watchers} watchers: {before:.0f} MB before, {idle:.0f} MB watching, {most:.0f} MB at most"
    )
    for got in gathered.result():
        assert sorted(got) == sorted(placed)
    for channel in channels:
        await channel.close()
    return most


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_two_thousand_watchers_take_little_memory(
    postgres_url: str, nats_url: str, elasticsearch_url: str, tmp_path: Path
) -> None:
    async with running_system(postgres_url, nats_url, elasticsearch_url, tmp_path) as system:
        assert await many_watchers(system, 2000, 100) <= MOST_MEGABYTES
