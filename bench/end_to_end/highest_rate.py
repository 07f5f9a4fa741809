"""Finds the highest rate at which orders are read back as they come."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

from bench.harness.progress import tell
from bench.harness.rounds import Figures, NotMeasured

#: A rate is sustained if the 99th percentile is at most this many ms, and the last order ends at most so many seconds
#: after the last start.
SUSTAINED_P99_MS, SUSTAINED_BEHIND_SECONDS = 1_000.0, 0.5
#: The search ends when the least rate that is not sustained is at most so many times the highest one that is.
PRECISION = 1.1
#: The search leaves its first rate by the first factor, then by ever larger ones, but never by more than the second:
#: far above the highest rate orders only pile up.
STRIDE, LONGEST_STRIDE = 1.25, 1.6
#: The search gives up below this rate.
LEAST_RATE = 5.0


async def find_highest(sustained: Callable[[float], Awaitable[bool]], first: float) -> float:
    """Returns the highest rate that is `sustained`, up to PRECISION, by bisection. It begins at the rate `first`.

    Raises NotMeasured if LEAST_RATE is not sustained.
    """
    low, high = 0.0, math.inf
    rate, stride = first, STRIDE
    while high > PRECISION * low:
        if await sustained(rate):
            low = rate
        elif rate <= LEAST_RATE:
            raise NotMeasured(f"not even {LEAST_RATE:g} orders/s are read back as they come")
        else:
            high = rate
        if high < math.inf and low > 0:
            rate = math.sqrt(low * high)
        else:
            rate = max(rate * stride if low else rate / stride, LEAST_RATE)
            stride = min(stride**2, LONGEST_STRIDE)
    return low


def is_sustained(found: Figures) -> bool:
    """Whether a run of an open loop says that its rate is sustained."""
    return found["p99_ms"] <= SUSTAINED_P99_MS and found["behind_s"] <= SUSTAINED_BEHIND_SECONDS


#: A rate is not sustained if it is not sustained so many times in succession. One pause of a machine proves nothing.
TRIES = 2


class HighestRate:
    """Searches the highest rate of one version. Each search begins at the result of the one before.

    `load` runs an open loop at a rate in orders/s.
    """

    def __init__(self, load: Callable[[float], Awaitable[Figures]], first: float) -> None:
        self._load, self._first = load, first
        self._sustained_runs = dict[float, Figures]()
        self._runs = 0
        #: The highest rate of a run of which every order was read back, however late.
        self.finished = 0.0

    async def measure(self) -> Figures:
        """Searches once. Returns the highest rate, and the latencies that orders had at it."""
        self._runs = 0
        highest = await find_highest(self._sustained, self._first)
        self._first = highest
        found = self._sustained_runs[highest]
        return {"per_s": highest, "p50_ms": found["p50_ms"], "p99_ms": found["p99_ms"], "runs": float(self._runs)}

    async def _sustained(self, rate: float) -> bool:
        for _ in range(TRIES):
            self._runs += 1
            try:
                found = await self._load(rate)
            except NotMeasured as reason:
                tell(f"{rate:.0f}/s: {reason}")
                continue
            self.finished = max(self.finished, rate)
            told = f"p50 {found['p50_ms']:.0f} ms, p99 {found['p99_ms']:.0f} ms, {found['behind_s']:.2f} s behind"
            tell(f"{rate:.0f}/s: {told}{'' if is_sustained(found) else ': not sustained'}")
            if is_sustained(found):
                self._sustained_runs[rate] = found
                return True
        return False
