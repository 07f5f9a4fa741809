"""How far behind the read model is, as far as this process knows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from query_service.application.freshness import FreshnessView
from query_service.application.read_store import Freshness, OrderReader


@dataclass(frozen=True, slots=True)
class ReadModelStatus:
    """`pending_events` are in the stream and not applied yet; None when the stream cannot be asked."""

    read_store: str
    freshness: Freshness | None
    pending_events: int | None
    parked_orders: int


class GetReadModelStatus:
    """The use case. `pending` asks the stream; it gives None when that cannot be asked."""

    def __init__(
        self, reader: OrderReader, applied: FreshnessView, pending: Callable[[], Awaitable[int | None]]
    ) -> None:
        self._reader, self._applied, self._pending = reader, applied, pending

    async def __call__(self) -> ReadModelStatus:
        """The state now."""
        self._applied.observe(await self._reader.freshness())
        parked = await self._reader.parked_orders()
        return ReadModelStatus(self._reader.name, self._applied.latest, await self._pending(), len(parked))
