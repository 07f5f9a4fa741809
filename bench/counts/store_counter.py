"""Counts what a projected event or a query costs in Elasticsearch."""

from __future__ import annotations

from bench.counts.http_tap import HttpTraffic
from bench.counts.shard_work import ReadModelIndices
from bench.counts.steady import Figures


class StoreCounter:
    """Counts from `begin` on: the requests of `traffic`, and the work of all shards of the read model."""

    def __init__(self, traffic: HttpTraffic, indices: ReadModelIndices) -> None:
        self._traffic, self._indices = traffic, indices
        self._exchanged = 0
        self._work: dict[str, int] = {}

    async def begin(self) -> None:
        """Begins to count."""
        self._work = await self._indices.work()
        self._exchanged = len(self._traffic.exchanges)

    async def figures(self) -> Figures:
        """Returns the counts."""
        exchanges = self._traffic.exchanges[self._exchanged :]
        work = await self._indices.work()
        return {
            "requests": len(exchanges),
            **{name: work[name] - before for name, before in self._work.items()},
            "bytes_sent": sum(exchange.bytes_sent for exchange in exchanges),
            "bytes_received": sum(exchange.bytes_received for exchange in exchanges),
        }
