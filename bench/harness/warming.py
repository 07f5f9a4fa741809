"""Warms Elasticsearch until its processor time per order or query stands still.

Its JVM compiles what runs often, for minutes. Until then an order costs it two to three times as much.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from bench.harness.progress import tell

#: Processor time stands still when each of the last so many windows differs from the one before by at most this part.
STILL_WINDOWS, TOLERANCE = 2, 0.05
#: The seconds of a window, and those after which warming ends in any case.
WINDOW_SECONDS, MOST_SECONDS = 20.0, 240.0


def stands_still(values: Sequence[float]) -> bool:
    """Whether each of the last STILL_WINDOWS values differs from the one before it by at most TOLERANCE of that one."""
    latest = values[-STILL_WINDOWS - 1 :]
    pairs = itertools.pairwise(latest)
    return len(latest) > STILL_WINDOWS and all(abs(after - before) <= TOLERANCE * before for before, after in pairs)


async def warm(
    load: Callable[[float], Awaitable[int]], cpu_seconds: Callable[[], float], what: str = "order"
) -> dict[str, Any]:
    """Runs `load` for one window after another until its processor time per piece stands still, or MOST_SECONDS long.

    `load` runs for as many seconds as it is given, and returns the number of its pieces of work; `what` is one piece.
    `cpu_seconds` returns the processor seconds that the warmed process has used so far. Returns how long it took and
    what each window cost.
    """
    started, windows = time.perf_counter(), list[float]()
    while not stands_still(windows) and time.perf_counter() - started < MOST_SECONDS:
        before = cpu_seconds()
        began, done = time.perf_counter(), await load(WINDOW_SECONDS)
        windows.append(1e3 * (cpu_seconds() - before) / done)
        rate = done / (time.perf_counter() - began)
        tell(f"Elasticsearch: {windows[-1]:.1f} ms of processor time per {what}, {rate:.0f}/s")
    return {
        "seconds": round(time.perf_counter() - started),
        f"ms_per_{what}": [round(window, 1) for window in windows],
        "stood_still": stands_still(windows),
    }
