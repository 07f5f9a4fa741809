"""`make bench-exports`: what an export, and the index that it needs, cost a PlaceOrder.

Commands arrive at RATE per second for STEADY_SECONDS, whether or not earlier ones are answered. A run has them alone or
beside an export of all ORDERS orders with their events, which begins again whenever it ends. Other runs have them alone
in a write model with and without the index on the outbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

import psycopg

from bench.commands.calls import CALL_SECONDS, PLACE, channels, orders, texts
from bench.commands.rows import make_write_model
from bench.commands.servers import Serving, command_service
from bench.harness.claim import Claim, at_most, compare
from bench.harness.open_loop import evenly, open_loop
from bench.harness.process_usage import cpu_seconds
from bench.harness.progress import tell
from bench.harness.report import report
from bench.harness.rounds import Figures, Results, interleave
from bench.harness.servers import running_servers
from bench.harness.settings import BenchSettings
from devstack.servers.ports import HOST, free_port

#: Real events have a payload; the copies of the write model are made without.
FILL = "UPDATE outbox SET payload = (SELECT payload FROM outbox WHERE position = 1) WHERE position > 1"
WITHOUT_INDEX = "DROP INDEX outbox_aggregate_id_aggregate_version_idx"
ALONE, BESIDE, BESIDE_SLOW = "alone", "beside an export", "beside an export at 1,000 orders/s"
WARM_UP_SECONDS = 20
INDEXED, NOT_INDEXED = "with the index", "without the index"


async def steady(settings: BenchSettings, server: Serving) -> Figures:
    """Sends PlaceOrder at a steady rate. Latencies count from the moment at which a command was due."""
    requests = iter(texts(orders(settings.rate * settings.steady_seconds + 1)))
    before = cpu_seconds(server.pid)
    async with channels(server.address, 1) as (channel,):
        call = channel.unary_unary(PLACE)

        async def place() -> None:
            await call(next(requests), timeout=CALL_SECONDS)

        figures = await open_loop(place, evenly(settings.rate), settings.steady_seconds)
    cpu = cpu_seconds(server.pid) - before
    return {"p50_ms": figures["p50_ms"], "p99_ms": figures["p99_ms"], "server_cpu_s": cpu}


@contextlib.asynccontextmanager
async def export(address: str, told: list[int]) -> AsyncIterator[None]:
    """Exports everything, again and again, within the block. `told` gets the number of orders of each page."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.commands.export_reader", address), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    await process.stdout.readline()  # the first page warms up
    try:
        yield
    finally:
        process.kill()
        rest = await process.stdout.read()
        told += [int(line) for line in rest.split()]
        await process.wait()


async def beside(settings: BenchSettings, server: Serving, exports: str) -> Figures:
    """Sends commands beside exports from the address `exports`."""
    told: list[int] = []
    async with export(exports, told):
        begun = time.monotonic()
        figures = await steady(settings, server)
        seconds = time.monotonic() - begun
    return {**figures, "exported_orders_per_s": sum(told) / seconds}


async def main() -> int:
    """Measures everything, judges the claims, and returns the exit status."""
    settings = BenchSettings.load(orders=100_000)
    tell(settings.line(f"{settings.rate} commands/s for {settings.steady_seconds} s", f"{settings.orders} orders"))
    fast, slow = f"{HOST}:{free_port()}", f"{HOST}:{free_port()}"
    async with running_servers() as servers:
        url = await make_write_model(servers, "bench_exports", settings.orders)
        plain = await make_write_model(servers, "bench_no_index", settings.orders)
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute(FILL)
            await connection.execute("VACUUM ANALYZE")
        async with await psycopg.AsyncConnection.connect(plain, autocommit=True) as connection:
            await connection.execute(WITHOUT_INDEX)
            await connection.execute(FILL)
            await connection.execute("VACUUM ANALYZE")
        directory = servers.directory
        async with (
            command_service(directory / "ours", url, export_listen=fast) as ours,
            command_service(directory / "slow", url, export_listen=slow, export_orders_per_second="1000") as paced,
            command_service(directory / "plain", plain) as not_indexed,
        ):
            for server in (ours, paced, not_indexed):  # a cold server has a few slow commands, and p99 is made of them
                await steady(replace(settings, steady_seconds=WARM_UP_SECONDS), server)
            runs = {
                ALONE: partial(steady, settings, ours),
                BESIDE: partial(beside, settings, ours, fast),
                BESIDE_SLOW: partial(beside, settings, paced, slow),
                INDEXED: partial(steady, settings, ours),
                NOT_INDEXED: partial(steady, settings, not_indexed),
            }
            results = await interleave(runs, settings.rounds, "exports")
    return report({"exports": results}, _claims(results, settings))


def _claims(results: Results, settings: BenchSettings) -> list[Claim]:
    pairs = (
        (f"PlaceOrder at {settings.rate}/s: p99 beside an export against alone", BESIDE, ALONE, "p99_ms", 1.3),
        (f"PlaceOrder at {settings.rate}/s: p99 beside a paced export", BESIDE_SLOW, ALONE, "p99_ms", 1.3),
        ("PlaceOrder: median with the outbox's index against without", INDEXED, NOT_INDEXED, "p50_ms", 1.1),
    )
    return [
        compare(
            claim, "ms", results.median(ours, figure), results.median(theirs, figure), at_most(limit),
            results.why_not(ours, theirs),
        )
        for claim, ours, theirs, figure, limit in pairs
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
