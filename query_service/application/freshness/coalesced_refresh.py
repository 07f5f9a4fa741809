"""Lets many callers share the refreshes of an index.

Every caller waits for the next refresh that has not begun yet. It never joins a refresh that is already running,
because that refresh may have begun before the caller's write was applied. At most one refresh runs at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class CoalescedRefresh:
    """Shares each call of `refresh` among all callers that arrived before it began.

    `refresh` makes searchable what was applied before it began, and returns whether it succeeded. `least_pause` is the
    least number of seconds between the starts of two refreshes. `clock` returns seconds.
    """

    def __init__(
        self, refresh: Callable[[], Awaitable[bool]], clock: Callable[[], float], *, least_pause: float = 0.0
    ) -> None:
        self._refresh, self._clock, self._least_pause = refresh, clock, least_pause
        self._running: asyncio.Task[bool] | None = None
        self._next: asyncio.Task[bool] | None = None
        self._begun_at = -least_pause

    async def catch_up(self) -> bool:
        """Waits for a refresh that begins after this call, and returns whether it succeeded. Raises what it raises."""
        return await asyncio.shield(self.following())  # a cancelled caller must not cancel it for the others

    def following(self) -> asyncio.Task[bool]:
        """Returns the task of the next refresh, which has not begun. Creates the task if there is none."""
        if self._next is None:
            self._next = asyncio.create_task(self._run_after(self._running))
            self._next.add_done_callback(_retrieve_error)
        return self._next

    def begun_elsewhere(self) -> None:
        """Records that another process began a refresh just now. The least pause is counted from that start too."""
        self._begun_at = self._clock()

    async def _run_after(self, before: asyncio.Task[bool] | None) -> bool:
        if before is not None:
            await asyncio.wait({before})
        while (pause := self._pause()) > 0:  # noqa: ASYNC110 - a refresh elsewhere prolongs the pause
            await asyncio.sleep(pause)
        # This refresh begins here, so callers from now on must join the next one.
        self._running, self._next = self._next, None
        self._begun_at = self._clock()
        return await self._refresh()

    def _pause(self) -> float:
        return self._begun_at + self._least_pause - self._clock()


def _retrieve_error(task: asyncio.Task[bool]) -> None:
    if not task.cancelled():
        task.exception()  # callers get it; without callers, asyncio would log that it was never retrieved
