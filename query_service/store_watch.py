"""Looks after a serving process's store: is it there, how fresh is what it holds, and which orders are parked?

It speaks for the store: to the log, to balancers, and to callers who get no answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from query_service.application.freshness.parked_orders import ParkedOrders
from query_service.application.freshness.view import FreshnessView
from query_service.application.ports.errors import DependencyDown, ReadStoreNotReady
from query_service.application.ports.read_store import OrderReader
from service_runtime.edge.refusals import OutOfTime
from service_runtime.outage_log import OutageLog

#: Also how fresh `as_of` stays when no notice comes through.
INTERVAL_SECONDS = 1.0
#: So many failures in a row before balancers are told to send calls elsewhere.
FAILURES = 3


class StoreWatch:
    """Asks the store every second. `set_serving` tells balancers."""

    def __init__(
        self,
        reader: OrderReader,
        view: FreshnessView,
        parked: ParkedOrders,
        set_serving: Callable[[bool], Awaitable[None]],
    ) -> None:
        self._reader, self._view, self._parked, self._set_serving = reader, view, parked, set_serving
        self._serving = False
        self._failures = 0
        self._reason: str | None = "the read store was not asked yet"
        self._outages = OutageLog("read store unavailable", "read store available")
        self._refusals = OutageLog("calls refused for want of the read store", "calls answered again")
        self._refused = False

    def reason(self) -> str | None:
        """Why questions cannot be answered now; None when they can."""
        return self._reason

    def late(self) -> Exception:
        """Why an answer did not come in time. A caller in a hurry says nothing about the store."""
        return OutOfTime() if self._reason is None else DependencyDown(self._reader.dependency, self._reason)

    def refused(self, error: Exception) -> None:
        """Takes note of a call that was refused, when it was for want of the store."""
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
            self._view.observe(await self._reader.freshness())
            self._parked.replace(await self._reader.parked_orders())
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

    async def _report(self, serving: bool) -> None:
        if serving != self._serving:
            self._serving = serving
            await self._set_serving(serving)
