"""Refreshes that many callers share: each caller joins the next refresh that has not begun.

At most one refresh runs at a time, and there is a least pause between two starts, however many callers wait. A caller
never joins a refresh that is already running, because it may have begun before the caller's write was applied.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class CoalescedRefresh:
    """Shares calls of `refresh`, which returns whether all that was applied before it began is searchable now.

    `clock` and `least_pause` (between the starts of two refreshes) are in seconds.
    """

    def __init__(
        self, refresh: Callable[[], Awaitable[bool]], clock: Callable[[], float], *, least_pause: float = 0.0
    ) -> None:
        self._refresh, self._clock, self._least_pause = refresh, clock, least_pause
        self._running: asyncio.Task[bool] | None = None
        self._next: asyncio.Task[bool] | None = None
        self._begun_at = -least_pause

    async def catch_up(self) -> bool:
        """Waits for a refresh that begins after the call, and returns whether it succeeded. Raises its errors."""
        return await asyncio.shield(self.following())  # a cancelled caller must not cancel it for the others

    def following(self) -> asyncio.Task[bool]:
        """Returns the task of the next refresh, which has not begun."""
        if self._next is None:
            self._next = asyncio.create_task(self._run_after(self._running))
            self._next.add_done_callback(_retrieve_error)
        return self._next

    def begun_elsewhere(self) -> None:
        """Notes that another process began a refresh just now: the least pause counts from there too."""
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
        task.exception()  # waiting callers get the error; without any, asyncio must not log it as never retrieved
