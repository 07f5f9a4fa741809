"""Runs projector processes once, as deployed, over a full stream and empty indices, and measures their rate.

The time begins at the first poll that sees an acknowledged event, and only events acknowledged after that poll count.
So start-up is not part of the rate. A run is valid only if exactly the stream's orders are found afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence

from bench.harness.process_usage import cpu_seconds, peak_memory_mib
from bench.harness.rounds import Figures, NotMeasured
from bench.harness.stream import Stream
from bench.reads.read_side import ReadModel, elasticsearch

LOOK_SECONDS = 0.05
#: A run fails if no further event is acknowledged for this many seconds.
STALL_SECONDS = 60.0


async def projected(model: ReadModel, orders: int, projectors: int = 1) -> Figures:
    """Projects the whole stream into new indices, deletes them, and returns the figures of the run."""
    await model.migrate()
    pid = model.servers.elasticsearch.pid or 0
    async with Stream(model.servers.nats.url) as nats, elasticsearch(model.servers.elasticsearch.url) as connection:
        all_messages = await nats.unprojected(model.name)
        started = time.monotonic()
        async with contextlib.AsyncExitStack() as stack:
            pids = [(await stack.enter_async_context(model.projecting(one))).pid for one in range(projectors)]
            first = left = await nats.unprojected(model.name)
            begun, cpu, server_cpu = time.monotonic(), _cpu(pids), cpu_seconds(pid)
            moved = begun
            while left:
                await asyncio.sleep(LOOK_SECONDS)
                now = await nats.unprojected(model.name)
                if now < left:
                    left, moved = now, time.monotonic()
                elif time.monotonic() > moved + STALL_SECONDS:
                    raise NotMeasured(f"{left} of {all_messages} messages were not projected")
                if first == all_messages:  # at the last poll nothing had been acknowledged
                    first, begun = now, time.monotonic()
                    cpu, server_cpu = _cpu(pids), cpu_seconds(pid)
            seconds = time.monotonic() - begun
            spent, server_spent = _cpu(pids) - cpu, cpu_seconds(pid) - server_cpu
            peak = sum(map(peak_memory_mib, pids))
        found = await model.counts(connection)
        await model.drop(connection)
    if found != (orders, orders):
        raise NotMeasured(f"{found} documents of {orders} orders")
    return {
        "rate": first / seconds,
        "cpu_us_per_event": 1e6 * spent / first,
        "elasticsearch_cpu_us_per_event": 1e6 * server_spent / first,
        "peak_mib": peak,
        "first_event_s": begun - started,
    }


def _cpu(pids: Sequence[int]) -> float:
    return sum(map(cpu_seconds, pids))
