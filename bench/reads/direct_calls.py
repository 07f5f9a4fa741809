"""Calls Elasticsearch through the services' own client, by N concurrent callers with one request each."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence

from bench.harness.rounds import Figures
from bench.reads.read_side import elasticsearch
from bench.reads.request_recorder import Recorded


async def direct_loop(url: str, requests: Sequence[Recorded], callers: int) -> Figures:
    """Sends every request once by `callers` callers, and parses the answers. Returns the figures of `closed_loop`."""
    left, times = iter(requests), list[float]()
    async with elasticsearch(url) as connection:

        async def send(request: Recorded) -> None:
            await connection.request(request.method, request.path, params=request.params, body=request.body)

        async def caller() -> None:
            for request in left:
                started = time.perf_counter()
                await send(request)
                times.append(time.perf_counter() - started)

        await asyncio.gather(*(send(requests[0]) for _ in range(callers)))  # opens all connections
        started = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(callers)))
        elapsed = time.perf_counter() - started
    ranked = sorted(times)
    return {
        "us_per_call": 1e6 * elapsed / len(requests),
        "p50_ms": 1e3 * statistics.median(ranked),
        "p99_ms": 1e3 * ranked[int(0.99 * (len(ranked) - 1))],
    }
