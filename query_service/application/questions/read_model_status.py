"""Reports how fresh the read model is, how far it lags, and what is parked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from query_service.application.freshness.view import FreshnessView
from query_service.application.lags.recent_lags import RecentLags, StageLag
from query_service.application.ports.read_store import Freshness, OrderReader


@dataclass(frozen=True, slots=True)
class ReadModelStatus:
    """How fresh and how complete the read model is, for operators.

    `read_store` is the store's name. `freshness` says up to which time everything is applied; None before the first
    barrier. `pending_events` is the number of events in the stream that are not applied yet; None when NATS does not
    answer. `parked_orders` is the number of orders with a parked version newer than their document. `stages` has the
    lags of the last minute by stage.
    """

    read_store: str
    freshness: Freshness | None
    pending_events: int | None
    parked_orders: int
    stages: list[StageLag]


class GetReadModelStatus:
    """Collects the status. `pending` asks NATS for the number of pending events; it returns None without an answer."""

    def __init__(
        self,
        reader: OrderReader,
        applied: FreshnessView,
        lags: RecentLags,
        pending: Callable[[], Awaitable[int | None]],
    ) -> None:
        self._reader, self._applied, self._lags, self._pending = reader, applied, lags, pending

    async def __call__(self) -> ReadModelStatus:
        """Returns the present status. Raises DependencyDown and ReadStoreNotReady."""
        self._applied.observe(await self._reader.freshness())
        parked = await self._reader.parked_orders()
        pending = await self._pending()
        return ReadModelStatus(self._reader.name, self._applied.latest, pending, len(parked), self._lags.lags())
