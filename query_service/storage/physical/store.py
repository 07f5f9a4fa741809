"""The read store of the physical level, put together from its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from query_service.application.ports.order_questions import (
    CustomerFigures,
    Edition,
    FoundFigures,
    FoundOrders,
    OrderSearch,
    OrderSummaries,
)
from query_service.application.ports.read_store import (
    YES,
    Capability,
    EntryAtTime,
    Freshness,
    Outcome,
    ParkedEvent,
    StoredOrder,
    StoreIdentity,
    Support,
)
from query_service.projection.order_document import EventDocument
from query_service.projection.project import ProjectedEvent
from query_service.storage.physical.connection import DEPENDENCY, ElasticsearchConnection
from query_service.storage.physical.figures import FigureReader
from query_service.storage.physical.lists import OrderLists
from query_service.storage.physical.names import IndexNames
from query_service.storage.physical.parking import ParkingLot
from query_service.storage.physical.reader import AS_OF, DocumentReader
from query_service.storage.physical.setup import IndexSetup
from query_service.storage.physical.writer import BulkWriter


class PhysicalStore:
    """A ReadStore on Elasticsearch. `request_timeout` in seconds bounds each request."""

    name = "physical"
    dependency = DEPENDENCY

    def __init__(self, url: str, *, index_prefix: str = "", request_timeout: float = 5.0) -> None:
        self.names = IndexNames(index_prefix)
        self._connection = ElasticsearchConnection(url, request_timeout=request_timeout)
        self._setup = IndexSetup(self._connection, self.names)
        self._reader = DocumentReader(self._connection, self.names)
        self._lists = OrderLists(self._connection, self.names, self._reader)
        self._figures = FigureReader(self._connection, self.names)
        self._writer = BulkWriter(self._connection, self.names, self._setup)
        self._parking = ParkingLot(self._connection, self.names)

    @property
    def capabilities(self) -> Mapping[Capability, Support]:
        """Everything."""
        return dict.fromkeys(Capability, YES)

    async def orders(self, order_ids: Sequence[str]) -> list[StoredOrder]:
        """See OrderReader."""
        return await self._reader.orders(order_ids)

    async def entries(self, order_id: str, versions: Sequence[int]) -> list[EventDocument | None]:
        """See OrderReader."""
        return await self._reader.entries(order_id, versions)

    async def entry_at(self, order_id: str, time: int) -> EntryAtTime:
        """See OrderReader."""
        return await self._reader.entry_at(order_id, time)

    async def freshness(self) -> Freshness | None:
        """See OrderReader."""
        return await self._reader.freshness()

    async def search(self, search: OrderSearch) -> FoundOrders:
        """See OrderQuestions."""
        return await self._lists.search(search)

    async def summarize(self, summaries: OrderSummaries) -> FoundFigures:
        """See OrderQuestions."""
        return await self._figures.summarize(summaries)

    async def customer(self, customer_id: str, *, recent: int) -> CustomerFigures:
        """See OrderQuestions."""
        return await self._figures.customer(customer_id, recent=recent)

    async def mark(self) -> str:
        """See OrderQuestions."""
        return await self._lists.mark()

    def first_mark(self, mark: str) -> str:
        """See OrderQuestions."""
        return self._lists.first_mark(mark)

    async def listed(self, order_ids: Sequence[str]) -> list[Edition]:
        """See OrderQuestions."""
        return await self._lists.listed(order_ids)

    async def refresh(self) -> None:
        """See ProjectionWriter."""
        await self._lists.refresh()

    async def parked_orders(self) -> Mapping[str, Sequence[int]]:
        """See OrderQuestions."""
        return await self._lists.parked_orders()

    async def apply(self, events: Sequence[ProjectedEvent]) -> list[Outcome]:
        """See ProjectionWriter."""
        return await self._writer.apply(events)

    async def park(self, event: ParkedEvent) -> None:
        """See ProjectionWriter."""
        await self._parking.park(event)

    async def unpark(self, event: ParkedEvent) -> None:
        """See ProjectionWriter."""
        await self._parking.unpark(event)

    async def parked(self, order_id: str) -> list[ParkedEvent]:
        """See ProjectionWriter."""
        return await self._parking.parked(order_id)

    async def parked_events(self) -> list[ParkedEvent]:
        """See ProjectionWriter."""
        return await self._parking.all()

    async def record_freshness(self, freshness: Freshness) -> None:
        """See ProjectionWriter. The time itself is the external version, so it never goes back."""
        await self._connection.request(
            "PUT",
            f"/{self.names.state}/_doc/{AS_OF}",
            params={"version": freshness.as_of, "version_type": "external", "require_alias": "true"},
            body={"kind": AS_OF, **asdict(freshness)},
            accept=(409,),
        )

    async def identity(self) -> StoreIdentity:
        """See ProjectionWriter."""
        return await self._setup.check()

    async def prepare(self) -> StoreIdentity:
        """See ReadStore."""
        return await self._setup.prepare()

    async def close(self) -> None:
        """See OrderReader."""
        await self._connection.close()
