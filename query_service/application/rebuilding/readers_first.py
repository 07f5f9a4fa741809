"""Lets readers go first: a rebuild rests while the generation that they see lags."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from query_service.application.ports.errors import DependencyDown, ReadStoreNotReady
from query_service.application.ports.read_store import Freshness

#: Barriers come every second, so a generation that keeps up is up to about a second behind.
LAG_SECONDS = 2.0
#: A rest takes so long at most, so a rebuild makes progress under any load.
LONGEST_REST_SECONDS = 5.0
#: A generation whose time stands still this long is not slow but stopped, and to rest does not help its readers.
STOPPED_SECONDS = 10.0
#: How often the generation is looked at meanwhile.
LOOK_SECONDS = 0.2


class ReadersFirst:
    """Implements Pace. `freshness` is that of the generation that readers see.

    `now` returns microseconds since 1970, `clock` seconds; `sleep` waits for some.
    """

    def __init__(
        self,
        freshness: Callable[[], Awaitable[Freshness | None]],
        now: Callable[[], int],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._freshness, self._now, self._clock, self._sleep = freshness, now, clock, sleep
        self._as_of, self._moved_at = 0, clock()

    async def rest(self) -> None:
        """Returns at once unless the generation lags. Otherwise waits until it does not, for a bounded time.

        A generation that is lost, or cannot be asked, does not lag: a rebuild is what it may need.
        """
        ends = self._clock() + LONGEST_REST_SECONDS
        while await self._lags() and self._clock() < ends:
            await self._sleep(LOOK_SECONDS)

    async def _lags(self) -> bool:
        try:
            freshness = await self._freshness()
        except (DependencyDown, ReadStoreNotReady):
            return False
        if freshness is None:
            return False
        if freshness.as_of != self._as_of:
            self._as_of, self._moved_at = freshness.as_of, self._clock()
        stopped = self._clock() - self._moved_at > STOPPED_SECONDS
        return not stopped and self._now() - freshness.as_of > LAG_SECONDS * 1e6
