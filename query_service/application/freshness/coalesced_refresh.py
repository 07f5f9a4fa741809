"""Shares refreshes: a caller joins the next refresh that has not begun.

At most one runs at a time, and two begin at least so many seconds apart, however many callers wait. A refresh that had
begun before a call does not count for it, because it may have read the index before the caller's write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class CoalescedRefresh:
    """`refresh` returns whether all that was applied before it began is searchable now. `clock` in seconds."""

    def __init__(
        self, refresh: Callable[[], Awaitable[bool]], clock: Callable[[], float], *, least_pause: float = 0.0
    ) -> None:
        self._refresh, self._clock, self._least_pause = refresh, clock, least_pause
        self._running: asyncio.Task[bool] | None = None
        self._next: asyncio.Task[bool] | None = None
        self._begun_at = -least_pause

    async def catch_up(self) -> bool:
        """Waits for a refresh that began after the call, and returns its result. Raises its errors."""
        return await asyncio.shield(self.following())  # a caller who leaves must not end it for the others

    def following(self) -> asyncio.Task[bool]:
        """Returns the next refresh, which has not begun."""
        if self._next is None:
            self._next = asyncio.create_task(self._run_after(self._running))
            self._next.add_done_callback(_heard)
        return self._next

    def begun_elsewhere(self) -> None:
        """Notes that another process began a refresh: ours keep their distance from it too."""
        self._begun_at = self._clock()

    async def _run_after(self, before: asyncio.Task[bool] | None) -> bool:
        if before is not None:
            await asyncio.wait({before})
        while (pause := self._pause()) > 0:  # noqa: ASYNC110 - others may begin meanwhile, and then it is longer
            await asyncio.sleep(pause)
        # It begins: whoever comes from now on needs the next one.
        self._running, self._next = self._next, None
        self._begun_at = self._clock()
        return await self._refresh()

    def _pause(self) -> float:
        return self._begun_at + self._least_pause - self._clock()


def _heard(task: asyncio.Task[bool]) -> None:
    if not task.cancelled():
        task.exception()  # those who wait get it; if nobody does, it is no news
