"""Measures how fast the service refuses calls when far more arrive at once than it may run."""

from __future__ import annotations

import asyncio
import statistics

import psycopg

from bench.commands.calls import burst, orders, texts
from bench.commands.servers import bare_server, command_service
from bench.harness.rounds import Figures, NotMeasured, Run
from bench.harness.servers import Servers

BURST, BURST_LIMIT, REFUSED = 2_000, 200, "RESOURCE_EXHAUSTED"
OURS, BARE = "ours", "bare grpc.aio"


def burst_runs(servers: Servers, url: str) -> dict[str, Run]:
    """Returns the runs by name: our service on the database at `url`, and a bare server that refuses every call."""
    return {OURS: lambda: _ours(servers, url), BARE: _bare}


async def _ours(servers: Servers, url: str) -> Figures:
    ended: dict[str, list[float]] = {}
    async with (
        command_service(servers.directory / "burst", url, max_concurrent_rpcs=str(BURST_LIMIT)) as server,
        await psycopg.AsyncConnection.connect(url) as blocker,
    ):
        await blocker.execute("LOCK TABLE customers")  # so no call of the burst ends before all have arrived
        calls = asyncio.create_task(burst(server.address, texts(orders(BURST)), ended))
        while len(ended.get(REFUSED, ())) < BURST - BURST_LIMIT and not calls.done():  # noqa: ASYNC110 - a count
            await asyncio.sleep(0.05)
        await blocker.rollback()
        await calls
    return _figures(ended)


async def _bare() -> Figures:
    ended: dict[str, list[float]] = {}
    async with bare_server("refusing", 0) as server:
        await burst(server.address, texts(orders(BURST)), ended)
    return _figures(ended)


def _figures(ended: dict[str, list[float]]) -> Figures:
    times = ended.get(REFUSED, [])
    if set(ended) - {"OK", REFUSED} or len(times) < BURST - BURST_LIMIT:
        raise NotMeasured(f"calls ended as { ({code: len(each) for code, each in ended.items()}) }")
    return {"refused": len(times), "p50_ms": 1e3 * statistics.median(times)}
