"""`make bench-projection`: measures how fast events become documents, and compares with raw `_bulk` and a peer.

Prints one JSON object per claim and exits with 1 when one of them is false. ORDERS is the number of orders.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

from bench.harness.claim import Claim, at_least, at_most, compare
from bench.harness.progress import tell
from bench.harness.report import report
from bench.harness.rounds import Figures, Results, Run, interleave
from bench.harness.servers import ReadServers, running_read_servers
from bench.harness.settings import BenchSettings
from bench.harness.stream import Stream
from bench.reads.order_messages import SampledStream, sample_stream
from bench.reads.projection_run import projected
from bench.reads.pulling import pulled
from bench.reads.raw_bulk import raw_bulk
from bench.reads.read_side import ReadModel, numbered
from bench.reads.sync_peer import NAME as PEER
from bench.reads.sync_peer import SyncPeer
from query_service.config import QuerySettings

OURS, RAW = "projector", "raw _bulk"
PULL, FETCH = "pull", "library fetch"
#: How many requests a projector has unanswered at a time. Raw `_bulk` has as many.
REQUESTS = int(QuerySettings.model_fields["bulk_concurrency"].default)


async def main() -> int:
    """Measures, judges the claims, and returns the exit status."""
    settings = BenchSettings.load(orders=200_000)
    tell(f"{settings.orders} orders, {settings.rounds} rounds, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    async with running_read_servers() as servers:
        sampled = await sample_stream(servers)
        await _fill(servers, sampled, settings.orders)
        peer = SyncPeer(settings, servers, settings.orders)
        async with peer.ready():
            contenders = _contenders(servers, sampled, settings.orders, peer)
            await _warm_up(servers, sampled, settings.orders // 5)
            results = await interleave(contenders, settings.rounds, "projection")
    claims = _claims(results)
    return report({"projection": results}, claims)


async def _fill(servers: ReadServers, sampled: SampledStream, orders: int) -> None:
    started = time.monotonic()
    async with Stream(servers.nats.url) as nats:
        await nats.create(sampled.configuration)
        await nats.fill(sampled.messages(orders))
        state, events = await nats.state(), await nats.events()
    if events != orders:
        raise RuntimeError(f"the stream took {events} of {orders} events")
    size = state["bytes"] / state["messages"]
    tell(f"{events} events of {size:.0f} bytes in the stream after {time.monotonic() - started:.0f} s")


def _contenders(servers: ReadServers, sampled: SampledStream, orders: int, peer: SyncPeer) -> dict[str, Run]:
    names, operations = numbered("run"), sampled.operations()

    async def raw() -> Figures:
        return await raw_bulk(ReadModel(servers, next(names)), operations, orders, REQUESTS)

    async def ours() -> Figures:
        return await projected(ReadModel(servers, next(names)), orders)

    def pulling(way: str) -> Run:
        return lambda: pulled(servers.nats.url, way, orders)

    return {RAW: raw, OURS: ours, PULL: pulling("ours"), FETCH: pulling("library"), PEER: peer.sync}


async def _warm_up(servers: ReadServers, sampled: SampledStream, orders: int) -> None:
    """Indexes without measuring. Elasticsearch is many times slower until its JVM has compiled the hot code."""
    warm = await raw_bulk(ReadModel(servers, "warm"), sampled.operations(), orders, REQUESTS)
    tell(f"warmed up: {warm['rate']:.0f} orders/s")


def _claims(results: Results) -> list[Claim]:
    ours, raw, peer = (results.median(name, "rate") for name in (OURS, RAW, PEER))
    pull, fetch = (results.median(name, "cpu_us_per_event") for name in (PULL, FETCH))
    return [
        compare(
            "projection: CPU of taking and acknowledging an event, against the library's fetch and ack",
            "us/event", pull, fetch, at_most(0.5), results.why_not(PULL, FETCH),
        ),
        compare(
            f"projection: orders/s against raw _bulk of the same operations, {REQUESTS} requests in flight",
            "orders/s", ours, raw, at_least(0.7), results.why_not(OURS, RAW),
        ),
        compare(
            f"projection: orders/s against {PEER}", "orders/s", ours, peer, at_least(3), results.why_not(OURS, PEER)
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
