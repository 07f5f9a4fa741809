"""Limits how many orders or events all exports of a process read per second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

#: A limited export reads so many pages per second, so its work does not come all at once.
PAGES_PER_SECOND = 10


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

    def most(self, elements: int) -> int:
        """Returns how many of these elements a page may have."""
        return min(elements, max(1, self._per_second // PAGES_PER_SECOND)) if self._per_second else elements

    async def keep(self, elements: int) -> None:
        """Waits until a page may follow that has as many elements as given."""
        if not self._per_second:
            return
        now = self._clock()
        begin = max(now, self._free_at)
        self._free_at = begin + elements / self._per_second
        if begin > now:
            await self._sleep(begin - now)
