"""Waits until applied versions are searchable. A list shows a write after a refresh that began after the write.

Serving processes do not refresh. They ask the projectors, of which one refreshes for all (`refresh_turns`), and share
their requests. If nobody answers, the search itself shows whether it contains what a token names; until then they wait
for the index's own refresh, which comes every few seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from query_service.application.freshness.coalesced_refresh import CoalescedRefresh
from query_service.application.freshness.view import FreshnessView
from query_service.application.ports.order_questions import Edition
from query_service.application.ports.read_store import Freshness

#: Pauses between looks at the search while nobody refreshes, in seconds: the first, and the longest after doubling.
FIRST_LOOK_SECONDS, LONGEST_LOOK_SECONDS = 0.1, 0.5
#: For so long after an unanswered question lists without a token do not wait for another, in seconds.
SILENCE_SECONDS = 1.0


class Searchability(Protocol):
    """What lists need to know about searchability, and may request."""

    @property
    def freshness(self) -> Freshness | None:
        """The least freshness of lists; None while unknown."""

    @property
    def answering(self) -> bool:
        """Whether waiting for `catch_up` makes sense now."""

    def ask(self) -> None:
        """Requests that everything applied by now becomes searchable, without waiting."""

    async def catch_up(self) -> bool:
        """Returns whether everything applied before the call is known to be searchable now.

        Raises DependencyDown and ReadStoreNotReady.
        """

    async def missing(
        self, applied: Mapping[str, Edition], within: float, *, settled: bool = False
    ) -> Mapping[str, int]:
        """Waits up to `within` seconds until these versions of orders, all applied, or later ones are searchable.

        Returns the versions that searches show of the orders for which they are not; empty if all are. `settled`: they
        are old enough to be searchable by now. Raises as `catch_up`.
        """


class RefreshObserver(Protocol):
    """Counts the waits for searches."""

    def searchable(self, outcome: str, seconds: float) -> None:
        """Counts a wait that ended as `refreshed` or `verified`, or as `behind` if it was abandoned."""


class AskedSearchability:
    """Learns searchability by asking others.

    `ask` returns whether a refresh that began after it is done. `listed` returns the versions that searches show now.
    `current` is how fresh they are, also learnt from notices. `clock` in seconds.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[bool]],
        listed: Callable[[Sequence[str]], Awaitable[Sequence[Edition]]],
        applied: FreshnessView,
        current: FreshnessView,
        clock: Callable[[], float],
        observer: RefreshObserver,
    ) -> None:
        self._ask, self._listed, self._applied, self._current = ask, listed, applied, current
        self._clock, self._observer = clock, observer
        self._coalesced = CoalescedRefresh(self._refreshed, clock)
        self._silent_since: float | None = None

    @property
    def freshness(self) -> Freshness | None:
        """See Searchability."""
        return self._current.latest

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
        if not applied or (settled and not await self._lacking(applied)):
            return {}
        if within > 0 and await self._refreshed_within(within):
            self._observer.searchable("refreshed", self._clock() - started)
            return {}
        pause = FIRST_LOOK_SECONDS
        while True:
            if not (lacking := await self._lacking(applied)):
                self._observer.searchable("verified", self._clock() - started)
                return {}
            left = started + within - self._clock()
            if left <= 0:
                self._observer.searchable("behind", self._clock() - started)
                return lacking
            await asyncio.sleep(min(left, pause))
            pause = min(2 * pause, LONGEST_LOOK_SECONDS)

    async def _lacking(self, applied: Mapping[str, Edition]) -> Mapping[str, int]:
        shown = await self._listed(list(applied))
        found = zip(applied.items(), shown, strict=True)
        return {order_id: edition[1] for (order_id, wanted), edition in found if edition < wanted}

    async def _refreshed_within(self, seconds: float) -> bool:
        following = self._coalesced.following()
        done, _ = await asyncio.wait({following}, timeout=seconds)
        return bool(done) and following.result()

    async def _refreshed(self) -> bool:
        applied = self._applied.latest
        if not await self._ask():
            self._silent_since = self._clock()
            return False
        self._silent_since = None
        self._current.observe(applied)
        return True
