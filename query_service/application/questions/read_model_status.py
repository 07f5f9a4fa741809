"""Reports how fresh the read model is, how far it lags, and what is parked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from query_service.application.freshness.view import FreshnessView
from query_service.application.lags.recent_lags import RecentLags, StageLag
from query_service.application.ports.checked_store import DriftRecord, StoredDriftRecord
from query_service.application.ports.read_store import Freshness, OrderReader


@dataclass(frozen=True, slots=True)
class ReadModelStatus:
    """How fresh and how complete the read model is, for operators.

    `read_store` is the store's name. `freshness` says up to which time everything is applied; None before the first
    barrier. `pending_events` is the number of events in the stream that are not applied yet; None when NATS does not
    answer. `parked_orders` is the number of orders with a parked version newer than their document. `stages` has the
    lags of the last minute by stage. `drift` is the record of the checks for drift.
    """

    read_store: str
    freshness: Freshness | None
    pending_events: int | None
    parked_orders: int
    stages: list[StageLag]
    drift: DriftRecord


class GetReadModelStatus:
    """Collects the status. `drift` reads the record of the checks for drift.

    `pending` asks NATS for the number of pending events; it returns None without an answer.
    """

    def __init__(
        self,
        reader: OrderReader,
        applied: FreshnessView,
        lags: RecentLags,
        pending: Callable[[], Awaitable[int | None]],
        drift: Callable[[], Awaitable[StoredDriftRecord]],
    ) -> None:
        self._reader, self._applied, self._lags = reader, applied, lags
        self._pending, self._drift = pending, drift

    async def __call__(self) -> ReadModelStatus:
        """Returns the present status. Raises DependencyDown and ReadStoreNotReady."""
        self._applied.follow(await self._reader.standing())
        parked = await self._reader.parked_orders()
        pending = await self._pending()
        drift = (await self._drift()).record
        latest = self._applied.latest
        return ReadModelStatus(self._reader.name, latest, pending, len(parked), self._lags.lags(), drift)
