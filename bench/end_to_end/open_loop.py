"""Starts work at a given rate, whether or not earlier work is done."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from bench.harness.quantile import quantile
from bench.harness.rounds import Figures, NotMeasured

#: Seconds that work may continue after the last arrival.
DRAIN_SECONDS = 30.0


async def open_loop(work: Callable[[], Awaitable[None]], rate: float, seconds: float) -> Figures:
    """Runs work with Poisson arrivals; returns the ms from each due time to its end.

    It also returns how long the last piece took after the end of arrivals. Any failure fails the run.
    """
    times = list[float]()

    async def one(due: float) -> None:
        await work()
        times.append(time.perf_counter() - due)

    chance, running = random.Random(), list[asyncio.Task[None]]()
    due = started = time.perf_counter()
    while due < started + seconds:
        if (pause := due - time.perf_counter()) > 0:
            await asyncio.sleep(pause)
        running.append(asyncio.create_task(one(due)))
        due += chance.expovariate(rate)
    ended = time.perf_counter()
    _, late = await asyncio.wait(running, timeout=DRAIN_SECONDS)
    for task in late:
        task.cancel()
    if late:
        raise NotMeasured(f"{len(late)} of {len(running)} were not done {DRAIN_SECONDS:.0f} s after the last had begun")
    for failure in [error for task in running if (error := task.exception()) is not None]:
        raise failure
    ranked = sorted(times)
    return {
        "p50_ms": 1e3 * quantile(ranked, 0.5),
        "p99_ms": 1e3 * quantile(ranked, 0.99),
        "max_ms": 1e3 * ranked[-1],
        "done_per_s": len(ranked) / (time.perf_counter() - started),
        "behind_s": time.perf_counter() - ended,
    }
