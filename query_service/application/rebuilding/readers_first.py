"""Lets readers go first: a rebuild slows down while the generation that they see lags."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from query_service.application.ports.errors import DependencyDown, ReadStoreNotReady
from query_service.application.ports.read_store import Freshness

#: Barriers come every second, so a generation that keeps up is up to about a second behind.
LAG_SECONDS = 2.0
#: A worker's first rest, and the bounds of a rest. The upper bound lets a rebuild progress under any load, and where
#: clocks that differ look like a lag. A rest that is shorter than the lower bound is none.
FIRST_REST_SECONDS, LONGEST_REST_SECONDS, SHORTEST_REST_SECONDS = 0.5, 30.0, 0.02
#: The upper bound for a comparison. It has one worker, and begins again when it is interrupted.
LONGEST_REST_OF_COMPARISON_SECONDS = 5.0
#: At each look rests become longer or shorter by these factors. A rest that becomes longer is at least the first one.
LONGER, SHORTER = 2.0, 0.9
#: A generation whose time stands still this long is not slow but stopped, and a rest does not help its readers.
STOPPED_SECONDS = 10.0
#: How often the generation is looked at. One late barrier is seen twice at most.
LOOK_SECONDS = 0.5


class ReadersFirst:
    """Implements Pace for all workers of a process. `freshness` is that of the generation that readers see.

    Each worker rests for the same time after its own page, so workers do not go on all at once. `longest` is the upper
    bound of a rest in seconds. `now` returns microseconds since 1970, `clock` seconds; `sleep` waits for some.
    """

    def __init__(
        self,
        freshness: Callable[[], Awaitable[Freshness | None]],
        now: Callable[[], int],
        *,
        longest: float = LONGEST_REST_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._freshness, self._now, self._longest, self._clock, self._sleep = freshness, now, longest, clock, sleep
        self._as_of, self._moved_at, self._looked_at = 0, clock(), float("-inf")
        self._rest = FIRST_REST_SECONDS

    async def rest(self) -> None:
        """Rests for a time that is bounded. It is zero for a generation that has kept up for a while.

        Nobody rests for a generation that is lost, and soon nobody for one that is stopped: a rebuild is what it may
        need. One that cannot be asked is likely to be overloaded, so rests stay as they are.
        """
        began = self._clock()
        await self._look()
        while (left := began + self._rest - self._clock()) > 0:
            await self._sleep(min(left, LOOK_SECONDS))
            await self._look()

    async def _look(self) -> None:
        """Sets how long workers rest, unless the generation was looked at a moment ago."""
        if self._clock() < self._looked_at + LOOK_SECONDS:
            return
        self._looked_at = self._clock()
        try:
            freshness = await self._freshness()
        except ReadStoreNotReady:
            freshness = None
        except DependencyDown:
            return
        if freshness is None:
            self._rest = 0.0
            return
        if freshness.as_of != self._as_of:
            self._as_of, self._moved_at = freshness.as_of, self._clock()
        stopped = self._clock() - self._moved_at > STOPPED_SECONDS
        if not stopped and (self._now() - freshness.as_of) / 1e6 > LAG_SECONDS:
            self._rest = min(self._longest, max(FIRST_REST_SECONDS, self._rest * LONGER))
            return
        rest = min(FIRST_REST_SECONDS, self._rest) if stopped else self._rest
        self._rest = rest * SHORTER if rest > SHORTEST_REST_SECONDS else 0.0
