"""Starts pieces of work when they are due, whether or not earlier ones have ended."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Iterator

from bench.harness.quantile import quantile
from bench.harness.rounds import Figures, NotMeasured

#: Seconds that work may take after the last piece was started.
DRAIN_SECONDS = 30.0


def evenly(rate: float) -> Iterator[float]:
    """Returns the pauses of pieces that are due `rate` times per second."""
    return itertools.repeat(1 / rate)


def at_random(rate: float) -> Iterator[float]:
    """Yields the pauses of pieces that are due on average `rate` times per second, at random (Poisson) times."""
    chance = random.Random()
    while True:
        yield chance.expovariate(rate)


async def open_loop(work: Callable[[], Awaitable[None]], pauses: Iterator[float], seconds: float) -> Figures:
    """Starts `work` for `seconds` seconds, with these pauses between the times when a piece is due.

    Returns quantiles of the time from when a piece was due until it ended, in ms; the pieces, and those done per
    second; and how many seconds the last piece ended after the last start. Raises what `work` raises, and NotMeasured
    when pieces are unfinished after DRAIN_SECONDS. Starts nothing more after a piece has failed.
    """
    times, failed = list[float](), False

    async def one(due: float) -> None:
        nonlocal failed
        try:
            await work()
        except BaseException:
            failed = True
            raise
        times.append(time.perf_counter() - due)

    running = list[asyncio.Task[None]]()
    due = started = time.perf_counter()
    while due < started + seconds and not failed:
        if (pause := due - time.perf_counter()) > 0:
            await asyncio.sleep(pause)
        running.append(asyncio.create_task(one(due)))
        due += next(pauses)
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
        "pieces": float(len(ranked)),
        "done_per_s": len(ranked) / (time.perf_counter() - started),
        "behind_s": time.perf_counter() - ended,
    }
