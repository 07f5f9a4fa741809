"""Reports how far the read model lags, as far as this process knows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from query_service.application.freshness.view import FreshnessView
from query_service.application.lags.recent_lags import RecentLags, StageLag
from query_service.application.ports.read_store import Freshness, OrderReader


@dataclass(frozen=True, slots=True)
class ReadModelStatus:
    """How fresh and complete the read model is.

    `pending_events` counts messages of the stream that are not applied yet; None when NATS does not answer.
    """

    read_store: str
    freshness: Freshness | None
    pending_events: int | None
    parked_orders: int
    stages: list[StageLag]


class GetReadModelStatus:
    """The use case. `pending` asks NATS for the number of pending events, and returns None without an answer."""

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
