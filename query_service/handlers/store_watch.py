"""Looks after a serving process's store: is it there, how fresh is what it holds, and which orders are parked?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from query_service.application.errors import DependencyDown, ReadStoreNotReady
from query_service.application.freshness import FreshnessView
from query_service.application.parked_orders import ParkedOrders
from query_service.application.read_store import OrderReader

_log = structlog.get_logger(__name__)
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

    def reason(self) -> str | None:
        """Why questions cannot be answered now; None when they can."""
        return self._reason

    async def run(self) -> None:
        """Watches until cancelled."""
        while True:
            await self._ask()
            await asyncio.sleep(INTERVAL_SECONDS)

    async def _ask(self) -> None:
        try:
            self._view.observe(await self._reader.freshness())
            self._parked.replace(await self._reader.parked_orders())
        except (DependencyDown, ReadStoreNotReady) as error:
            self._failures += 1
            if self._reason is None:
                _log.warning("read store unavailable", reason=str(error))
            self._reason = str(error)
            await self._tell(self._serving and self._failures < FAILURES)
        else:
            self._failures = 0
            if self._reason is not None:
                _log.info("read store available")
            self._reason = None
            await self._tell(True)

    async def _tell(self, serving: bool) -> None:
        if serving != self._serving:
            self._serving = serving
            await self._set_serving(serving)
