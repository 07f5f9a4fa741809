"""Polls the store of a serving process: whether it answers, how fresh it is, and which orders are parked.

The result goes to the log, to load balancers, and into the error of calls that get no answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from query_service.application.freshness.parked_orders import ParkedOrders
from query_service.application.freshness.view import FreshnessView
from query_service.application.ports.errors import DependencyDown, ReadStoreNotReady
from query_service.application.ports.read_store import Freshness, OrderReader
from query_service.application.watching.list_marks import ListMarks
from service_runtime.edge.refusals import OutOfTime
from service_runtime.outage_log import OutageLog

#: The seconds between polls of the store. When notices are lost, `as_of` is late by no more than this.
INTERVAL_SECONDS = 1.0
#: After so many failures in a row, the health service reports NOT_SERVING, so load balancers send calls elsewhere.
FAILURES = 3


class StoreWatch:
    """Polls the store every second. `set_serving` sets the health that load balancers see."""

    def __init__(
        self,
        reader: OrderReader,
        view: FreshnessView,
        parked: ParkedOrders,
        marks: ListMarks,
        set_serving: Callable[[bool], Awaitable[None]],
    ) -> None:
        self._reader, self._view, self._parked, self._marks = reader, view, parked, marks
        self._set_serving = set_serving
        self._serving = False
        self._failures = 0
        self._reason: str | None = "the read store has not been polled yet"
        self._outages = OutageLog("read store unavailable", "read store available")
        self._refusals = OutageLog("calls refused for want of the read store", "calls answered again")
        self._refused = False

    def reason(self) -> str | None:
        """Returns why questions cannot be answered now; None when they can."""
        return self._reason

    def late(self) -> Exception:
        """Returns the error for a call that ran out of time: DependencyDown if the store is down, else OutOfTime."""
        return OutOfTime() if self._reason is None else DependencyDown(self._reader.dependency, self._reason)

    def refused(self, error: Exception) -> None:
        """Records a refused call for the log, if the store was the reason."""
        if isinstance(error, DependencyDown | ReadStoreNotReady):
            self._refused = True
            self._refusals.failed(str(error))

    async def run(self) -> None:
        """Watches until cancelled."""
        while True:
            await self._ask()
            if self._reason is None and not self._refused:
                self._refusals.works()
            self._refused = False
            await asyncio.sleep(INTERVAL_SECONDS)

    async def _ask(self) -> None:
        try:
            self._view.follow(await self._reader.standing())
            known = self._view.latest
            parked = await self._reader.parked_orders()
            self._parked.replace(parked)
            self._marks.observe(known, await self._owed(parked, known))
        except (DependencyDown, ReadStoreNotReady) as error:
            self._failures += 1
            self._outages.failed(str(error))
            self._reason = str(error)
            await self._report(self._serving and self._failures < FAILURES)
        else:
            self._failures = 0
            self._outages.works()
            self._reason = None
            await self._report(True)

    async def _owed(self, parked: Mapping[str, Sequence[int]], known: Freshness | None) -> list[int]:
        """Returns the stream sequences of the parked versions. Only a message of the present stream can be owed."""
        if not parked or known is None:
            return []
        return [
            event.sequence
            for event in await self._reader.parked_events()
            if event.version in parked.get(event.order_id or "", ()) and event.is_message_of(known.stream_created_at)
        ]

    async def _report(self, serving: bool) -> None:
        if serving != self._serving:
            self._serving = serving
            await self._set_serving(serving)
