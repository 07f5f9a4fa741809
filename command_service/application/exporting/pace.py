"""Limits how many orders or events all exports of a process read per second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


class Pace:
    """Lets each page wait until the pages before it have used up their share of time.

    `per_second` is the limit for all exports together; 0 means none.
    """

    def __init__(
        self,
        per_second: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._per_second, self._clock, self._sleep = per_second, clock, sleep
        self._free_at = 0.0

    async def keep(self, elements: int) -> None:
        """Waits until a page may follow that has as many elements as given."""
        if not self._per_second:
            return
        now = self._clock()
        begin = max(now, self._free_at)
        self._free_at = begin + elements / self._per_second
        if begin > now:
            await self._sleep(begin - now)
