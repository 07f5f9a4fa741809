"""Measures our relay's latency under a steady load: from the time in the inserted row to the stream's timestamp.

The load is transactions of two events, at random (Poisson) times, over four connections. The latency includes the
commit's flush to disk, as it does for the peers.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path

from bench.harness.program import run_program
from bench.harness.quantile import quantile
from bench.harness.rounds import Figures, NotMeasured
from bench.harness.servers import programs, sql
from bench.harness.settings import BenchSettings
from bench.harness.stream import Stream
from bench.relay.outbox_rows import EVENTS_PER_TRANSACTION
from bench.relay.run import running_relay
from devstack.servers import PostgresServer
from devstack.servers.ports import HOST

WARM_UP_SECONDS = 8
ARRIVE_SECONDS = 30.0
_PROCESSED = re.compile(r"transactions actually processed: (\d+)")


async def steady(
    directory: Path,
    postgres: PostgresServer,
    database: str,
    nats_url: str,
    mode: str,
    settings: BenchSettings,
    beside: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    subscribed: bool = False,
) -> Figures:
    """Measures one run on an empty table and a new stream. `settings` give the rate and the duration.

    `beside` is what else runs on the servers meanwhile. If `subscribed`, the figures also say when events reach a
    subscriber, which costs the machine a little.
    """
    url = postgres.database_url(database)
    async with Stream(nats_url) as nats:
        await nats.drop()
        await sql(url, "TRUNCATE outbox, bench_orders")
        await sql(url, "DELETE FROM relay_state")
        await sql(url, "CHECKPOINT")
        async with running_relay(directory, url, nats_url, mode) as relay:
            await relay.wait_until_publishing(mode)
            warm = await _load(directory, postgres, database, settings.rate, WARM_UP_SECONDS)
            arriving: AbstractAsyncContextManager[dict[str, float]] = nats.arrivals() if subscribed else nullcontext({})
            async with beside(), arriving as arrived:
                since, cpu = time.time(), relay.cpu_seconds
                sent = await _load(directory, postgres, database, settings.rate, settings.steady_seconds)
                spent = relay.cpu_seconds - cpu
                if not await nats.wait_for_events(warm + sent, ARRIVE_SECONDS):
                    raise NotMeasured(f"{await nats.events()} of {warm + sent} events stored")
            peak = relay.peak_memory_mib
        recorded = await _recorded(url, since)
        latencies = _latencies(recorded, await nats.stored_times())
        await nats.drop()
    if len(latencies) != sent:
        raise NotMeasured(f"{len(latencies)} events stored, {sent} were sent")
    arrivals = _latencies(recorded, arrived)
    if subscribed and len(arrivals) != sent:
        raise NotMeasured(f"{len(arrivals)} events reached the subscriber, {sent} were sent")
    return {
        "p50_ms": 1e3 * quantile(latencies, 0.5),
        "p95_ms": 1e3 * quantile(latencies, 0.95),
        "p99_ms": 1e3 * quantile(latencies, 0.99),
        "max_ms": 1e3 * latencies[-1],
        "cpu_percent": 100 * spent / settings.steady_seconds,
        "peak_mib": peak,
        "events": sent,
        **({"delivered_p99_ms": 1e3 * quantile(arrivals, 0.99)} if arrivals else {}),
    }


async def _recorded(url: str, since: float) -> dict[str, float]:
    """Returns when each event was written, by its id: those since this time, both in seconds since 1970."""
    rows = await sql(
        url,
        "SELECT event_id::text, extract(epoch FROM recorded_at)::float8 FROM outbox"
        " WHERE recorded_at >= to_timestamp(%(since)s)",
        {"since": since},
    )
    return dict(rows)


def _latencies(recorded: Mapping[str, float], later: Mapping[str, float]) -> list[float]:
    """Returns the seconds between the two times of each event, sorted."""
    return sorted(later[event] - at for event, at in recorded.items() if event in later)


async def _load(directory: Path, postgres: PostgresServer, database: str, rate: int, duration: int) -> int:
    """Writes `rate` events per second for `duration` seconds. Returns the number of events written."""
    script = directory / "transaction.sql"
    directory.mkdir(exist_ok=True)
    script.write_text("\\set a random(1, 1000000)\nCALL bench_transaction(:a);\n")
    ran = await asyncio.to_thread(
        run_program,
        [
            programs() / "pgbench", "-h", HOST, "-p", str(postgres.port), "-U", "postgres", "-n", "-f", script,
            "-c", "4", "-j", "1", "-R", str(rate // EVENTS_PER_TRANSACTION), "-T", str(duration), database,
        ],
        within=duration + 30.0,
    )  # fmt: skip
    found = _PROCESSED.search(ran.output)
    if found is None:
        raise NotMeasured(f"pgbench: {ran.last_line}")
    return EVENTS_PER_TRANSACTION * int(found[1])
