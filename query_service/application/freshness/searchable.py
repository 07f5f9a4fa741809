"""Waits until applied versions are searchable. A list shows a write after a refresh that began after the write.

Serving processes do not refresh the index. They ask the projectors, one of which refreshes for all (`refresh_turns`).
Callers in one process share a request. When no projector answers, the process searches for the token's versions until
they appear, which they do at the latest with the index's own refresh.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from query_service.application.freshness.coalesced_refresh import CoalescedRefresh
from query_service.application.freshness.view import FreshnessView
from query_service.application.ports.order_questions import Edition

#: Pauses between searches while no projector refreshes, in seconds: the first, and the longest after doubling.
FIRST_POLL_SECONDS, LONGEST_POLL_SECONDS = 0.1, 0.5
#: For so many seconds after an unanswered request, lists without a token do not wait for a refresh.
SILENCE_SECONDS = 1.0


class Searchability(Protocol):
    """Makes the lists of one generation fresher."""

    @property
    def answering(self) -> bool:
        """Whether projectors answer, so that waiting for `catch_up` makes sense."""

    def ask(self) -> None:
        """Requests a refresh without waiting for it."""

    async def catch_up(self) -> bool:
        """Waits for a refresh, and returns whether all that was applied before the call is searchable now.

        Raises DependencyDown and ReadStoreNotReady.
        """

    async def missing(
        self, applied: Mapping[str, Edition], within: float, *, settled: bool = False
    ) -> Mapping[str, int]:
        """Waits up to `within` seconds until these applied editions of orders, or later ones, are searchable.

        Returns an empty mapping when all are. Otherwise it maps each order whose edition is not searchable to the
        version that searches show; 0: none. `settled`: the editions are old enough to be searchable already, so it
        first searches for them and requests a refresh only if one is missing. Raises as `catch_up`.
        """


class RefreshObserver(Protocol):
    """Counts the waits for searches."""

    def searchable(self, outcome: str, seconds: float) -> None:
        """Counts a wait that ended after `seconds`. `outcome`: `refreshed`, `verified` by a search, or `behind`."""


class AskedSearchability:
    """Implements Searchability by asking the projectors of `generation` to refresh it.

    `ask` requests a refresh and returns whether it was done. `listed` returns the editions that searches show now.
    `applied` says how fresh look-ups are, `current` how fresh searches are. `clock` is in seconds.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[bool]],
        listed: Callable[[Sequence[str]], Awaitable[Sequence[Edition]]],
        applied: FreshnessView,
        current: FreshnessView,
        clock: Callable[[], float],
        observer: RefreshObserver,
        *,
        generation: str = "",
    ) -> None:
        self._generation = generation
        self._ask, self._listed, self._applied, self._current = ask, listed, applied, current
        self._clock, self._observer = clock, observer
        self._coalesced = CoalescedRefresh(self._refreshed, clock)
        self._silent_since: float | None = None

    @property
    def answering(self) -> bool:
        """See Searchability."""
        return self._silent_since is None or self._clock() - self._silent_since >= SILENCE_SECONDS

    def ask(self) -> None:
        """See Searchability."""
        self._coalesced.following()

    async def catch_up(self) -> bool:
        """See Searchability."""
        return await self._coalesced.catch_up()

    async def missing(
        self, applied: Mapping[str, Edition], within: float, *, settled: bool = False
    ) -> Mapping[str, int]:
        """See Searchability."""
        started = self._clock()
        if not applied or (settled and not await self._unsearchable(applied)):
            return {}
        if within > 0 and await self._refreshed_within(within):
            self._observer.searchable("refreshed", self._clock() - started)
            return {}
        pause = FIRST_POLL_SECONDS
        while True:
            if not (unsearchable := await self._unsearchable(applied)):
                self._observer.searchable("verified", self._clock() - started)
                return {}
            left = started + within - self._clock()
            if left <= 0:
                self._observer.searchable("behind", self._clock() - started)
                return unsearchable
            await asyncio.sleep(min(left, pause))
            pause = min(2 * pause, LONGEST_POLL_SECONDS)

    async def _unsearchable(self, applied: Mapping[str, Edition]) -> Mapping[str, int]:
        shown = await self._listed(list(applied))
        found = zip(applied.items(), shown, strict=True)
        return {order_id: edition[1] for (order_id, wanted), edition in found if edition < wanted}

    async def _refreshed_within(self, seconds: float) -> bool:
        following = self._coalesced.following()
        done, _ = await asyncio.wait({following}, timeout=seconds)
        return bool(done) and following.result()

    async def _refreshed(self) -> bool:
        applied = self._applied.of(self._generation)
        if not await self._ask():
            self._silent_since = self._clock()
            return False
        self._silent_since = None
        self._current.observe(applied)
        return True
