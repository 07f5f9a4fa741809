"""From applied to searchable: a write is found by lists only after a refresh that began after it was applied.

Whoever needs one joins the next that has not begun. In one process at most one runs at a time, and two begin at least
50 ms apart, however many callers wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from query_service.application.freshness import FreshnessView
from query_service.application.read_store import Freshness

LEAST_PAUSE_SECONDS = 0.05


class Searchability(Protocol):
    """What lists need to know, and may ask for."""

    @property
    def freshness(self) -> Freshness | None:
        """How fresh lists are at least; None before anything is known."""

    def ask(self) -> None:
        """Asks that all that is applied by now become searchable, and does not wait for it."""

    async def catch_up(self) -> None:
        """Returns once all that was applied before the call is searchable.

        Raises DependencyDown and ReadStoreNotReady.
        """


class CoalescedRefresh:
    """Searchability by refreshes of this process. `clock` in seconds."""

    def __init__(
        self,
        refresh: Callable[[], Awaitable[None]],
        applied: FreshnessView,
        clock: Callable[[], float],
        *,
        least_pause: float = LEAST_PAUSE_SECONDS,
        on_refresh: Callable[[], None] = lambda: None,
    ) -> None:
        self._refresh, self._applied, self._clock = refresh, applied, clock
        self._least_pause, self._on_refresh = least_pause, on_refresh
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None
        self._begun_at = -least_pause
        self._freshness: Freshness | None = None

    @property
    def freshness(self) -> Freshness | None:
        """See Searchability."""
        return self._freshness

    def ask(self) -> None:
        """See Searchability."""
        self._following()

    async def catch_up(self) -> None:
        """See Searchability."""
        await asyncio.shield(self._following())  # a caller who leaves must not end it for the others

    def _following(self) -> asyncio.Task[None]:
        """The next refresh, which has not begun."""
        if self._next is None:
            self._next = asyncio.create_task(self._run_after(self._running))
            self._next.add_done_callback(_heard)
        return self._next

    async def _run_after(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait({before})
        await asyncio.sleep(max(0.0, self._begun_at + self._least_pause - self._clock()))
        # It begins: whoever comes from now on needs the next one.
        self._running, self._next = self._next, None
        self._begun_at = self._clock()
        applied = self._applied.latest
        self._on_refresh()
        await self._refresh()
        self._freshness = applied


def _heard(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()  # those who wait get it; if nobody does, it is no news
