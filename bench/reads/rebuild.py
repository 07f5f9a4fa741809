"""`make bench-rebuild`: measures how fast a new generation is filled, beside the projection of as many orders.

Both make the same documents of the same kind of orders, on the same servers, one after the other. Then the new
generation is verified and answers readers, and a rollback is timed. ORDERS is the number of orders.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from bench.commands.servers import command_service
from bench.harness.claim import Claim, at_least, at_most, compare
from bench.harness.progress import tell
from bench.harness.report import report
from bench.harness.rounds import Figures, NotMeasured, Results, interleave
from bench.harness.servers import ReadServers, running_read_servers
from bench.harness.settings import BenchSettings
from bench.harness.stream import Stream
from bench.reads.order_messages import SampledStream, sample_stream
from bench.reads.projection_run import projected
from bench.reads.raw_bulk import raw_bulk
from bench.reads.read_side import ReadModel, elasticsearch, numbered
from bench.reads.recorded_orders import record_orders
from devstack.servers.ports import HOST, free_port

REBUILD, PROJECTION = "rebuild", "projection"
WORKERS = 4
BARRIER_SECONDS = 1.0
#: Messages that may wait for the projector while it keeps up with the barriers.
UNPROJECTED = 10


async def main() -> int:
    """Measures, judges the claims, and returns the exit status."""
    settings = BenchSettings.load(orders=100_000)
    tell(settings.line(f"{settings.orders} orders"))
    exports = f"{HOST}:{free_port()}"
    async with running_read_servers() as servers:
        sampled = await sample_stream(servers)
        async with Stream(servers.nats.url) as nats:
            await nats.create(sampled.configuration)
            await nats.fill(sampled.messages(settings.orders))
        url = await servers.postgres.ensure_database("bench_samples")
        await record_orders(url, settings.orders)
        # Elasticsearch is many times slower until its JVM has compiled the hot code.
        await raw_bulk(ReadModel(servers, "warm"), sampled.operations(), settings.orders // 5, WORKERS)
        async with command_service(servers.directory / "source", url, export_listen=exports):
            names = numbered("run")

            async def projection() -> Figures:
                return await projected(ReadModel(servers, next(names)), settings.orders)

            async def rebuild() -> Figures:
                return await rebuilt(ReadModel(servers, next(names)), sampled, exports, settings.orders)

            contenders = {PROJECTION: projection, REBUILD: rebuild}
            results = await interleave(contenders, settings.rounds, "rebuild")
    return report({"rebuild": results}, _claims(results))


async def rebuilt(model: ReadModel, sampled: SampledStream, exports: str, orders: int) -> Figures:
    """Fills a second generation, switches to it and back, deletes both, and returns the figures of the run."""
    await model.migrate()
    started = time.monotonic()
    await _step(model, exports, "start", "--workers", str(WORKERS))
    whole = time.monotonic() - started
    filled = (await _step(model, exports, "status"))["rebuild"]
    if filled["filled_orders"] != orders:
        raise NotMeasured(f"{filled['filled_orders']} orders of {orders} filled")
    async with model.projecting(), _barriers(model.servers, sampled), Stream(model.servers.nats.url) as nats:
        left = orders
        while left > UNPROJECTED:  # the projection of the old generation must not slow the comparison down
            await asyncio.sleep(BARRIER_SECONDS)
            left = await nats.unprojected(model.name)
        started = time.monotonic()
        await _step(model, exports, "verify")
        verified = time.monotonic() - started
        await _step(model, exports, "switch")
        started = time.monotonic()
        await _step(model, exports, "rollback")
        rolled_back = time.monotonic() - started
        await _step(model, exports, "status")
    started = time.monotonic()
    await _step(model, exports, "status")
    process = time.monotonic() - started
    async with elasticsearch(model.servers.elasticsearch.url) as connection:
        await model.drop(connection)
    return {
        "rate": filled["orders_per_second"],
        "fill_s": whole,
        "verified_per_s": orders / verified,
        # The command is a process of its own; a command that only reads the state takes as long to start and end.
        "rollback_s": max(0.0, rolled_back - process),
    }


@contextlib.asynccontextmanager
async def _barriers(servers: ReadServers, sampled: SampledStream) -> AsyncIterator[None]:
    """Publishes barriers as the relay does within the block."""

    async def forever() -> None:
        async with Stream(servers.nats.url) as nats:
            while True:
                await nats.publish(sampled.barrier_now())
                await asyncio.sleep(BARRIER_SECONDS)

    task = asyncio.create_task(forever())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _step(model: ReadModel, exports: str, *arguments: str) -> Mapping[str, Any]:
    """Runs a step as an operator does, and returns what it prints. Raises NotMeasured when it fails."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "query_service", "rebuild", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **model.settings, "QUERY_EXPORT_ADDRESS": exports, "QUERY_LOG_LEVEL": "WARNING"},
    )
    output, errors = await process.communicate()
    if process.returncode:
        raise NotMeasured(f"rebuild {arguments[0]}: {(output or errors).decode()[-500:]}")
    found: Mapping[str, Any] = json.loads(output)
    return found


def _claims(results: Results) -> list[Claim]:
    ours, theirs = results.median(REBUILD, "rate"), results.median(PROJECTION, "rate")
    rollback = results.median(REBUILD, "rollback_s")
    why_not = results.why_not(REBUILD, PROJECTION)
    return [
        compare(
            f"rebuild: orders/s of {WORKERS} workers against the projection of as many orders",
            "orders/s", ours, theirs, at_least(0.8), why_not,
        ),
        compare("rebuild: a rollback, against one second", "s", rollback, 1.0, at_most(1.0), results.why_not(REBUILD)),
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
