"""Keeps the read model in dictionaries. It defines the answers that every other store must give too."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

from query_service.application.ports.errors import PageTokenMalformed
from query_service.application.ports.order_questions import (
    CustomerFigures,
    Edition,
    FoundFigures,
    FoundOrders,
    OrderSearch,
    OrderSummaries,
)
from query_service.application.ports.payment_questions import FoundPayments, PaymentSummaries
from query_service.application.ports.read_store import (
    EntryAtTime,
    Freshness,
    Outcome,
    ParkedEvent,
    ShownOrder,
    Standing,
    StoredOrder,
    StoreIdentity,
)
from query_service.projection.order_document import EventDocument, OrderDocument
from query_service.projection.project import ProjectedEvent, event_document_id
from query_service.storage import memory_payments, memory_questions
from query_service.storage.memory_upkeep import MemoryDocuments, outcome_of


class MemoryStore(MemoryDocuments):
    """A ReadStore for experiments, tests and golden answers. It copies documents when it stores and returns them."""

    name = "memory"
    dependency = "memory"
    generations = None

    def __init__(self, generation: str = "g1") -> None:
        super().__init__()
        self._taken_back: dict[tuple[str | None, int], tuple[int, int]] = {}
        self._writes = 0
        self._written: dict[str, int] = {}
        self._freshness: Freshness | None = None
        self._identity = StoreIdentity(str(uuid.uuid4()), generation)

    async def apply(self, events: Sequence[ProjectedEvent]) -> list[Outcome]:
        """See ProjectionWriter."""
        return [self._apply(event) for event in events]

    async def fill(self, orders: Sequence[Sequence[ProjectedEvent]]) -> list[Outcome]:
        """See ProjectionWriter."""
        return await self.apply([event for events in orders for event in events])

    def _apply(self, event: ProjectedEvent) -> Outcome:
        stored = self._orders.get(event.order_id)
        if event.external_version > max(stored[0] if stored else 0, self._removed.get(event.order_id, 0)):
            self._writes += 1
            self._written[event.order_id] = self._writes
        return outcome_of(
            [self._put(self._orders, event.order_id, event.external_version, event.order), self._put_entry(event)]
        )

    async def orders(self, order_ids: Sequence[str]) -> list[StoredOrder]:
        """See OrderReader."""
        return [self._order(order_id) for order_id in order_ids]

    def _order(self, order_id: str) -> StoredOrder:
        stored = self._orders.get(order_id)
        parked = tuple(sorted({version for version, _ in self._parked.get(order_id, {})}))
        return StoredOrder(order_id, deepcopy(stored[1]) if stored else None, parked, self._identity.generation)

    async def entries(self, order_id: str, versions: Sequence[int]) -> list[EventDocument | None]:
        """See OrderReader."""
        found = [self._entries.get(event_document_id(order_id, version)) for version in versions]
        return [deepcopy(stored[1]) if stored else None for stored in found]

    async def entry_at(self, order_id: str, time: int) -> EntryAtTime:
        """See OrderReader."""
        head = self._order(order_id).version
        in_force: EventDocument | None = None
        missing: int | None = None
        for version, entry in enumerate(await self.entries(order_id, range(1, head + 1)), start=1):
            if entry is None:
                missing = version
            elif entry["recorded_at"] <= time:
                in_force, missing = entry, None
            else:
                break
        return EntryAtTime(in_force, missing, self._identity.generation)

    async def park(self, event: ParkedEvent) -> None:
        """See ProjectionWriter."""
        there = self._parked[event.order_id].get(_parking_place(event), event)
        if event.place >= max(there.place, self._taken_back.get((event.order_id, event.version), event.place)):
            self._parked[event.order_id][_parking_place(event)] = event

    async def unpark(self, event: ParkedEvent) -> None:
        """See ProjectionWriter."""
        self._parked[event.order_id].pop(_parking_place(event), None)

    async def take_back(self, event: ParkedEvent) -> None:
        """See ProjectionWriter."""
        there = self._parked[event.order_id].get(_parking_place(event), event)
        if there.place <= event.place:
            self._parked[event.order_id].pop(_parking_place(event), None)
            self._taken_back[event.order_id, event.version] = event.place

    async def parked(self, order_id: str) -> list[ParkedEvent]:
        """See ProjectionWriter."""
        return [event for _, event in sorted(self._parked[order_id].items(), key=lambda item: item[0])]

    async def parked_events(self) -> list[ParkedEvent]:
        """See ProjectionWriter."""
        return [event for events in self._parked.values() for event in events.values()]

    async def record_freshness(self, freshness: Freshness) -> None:
        """See ProjectionWriter."""
        if self._freshness is None or freshness.as_of > self._freshness.as_of:
            self._freshness = freshness

    async def freshness(self) -> Freshness | None:
        """See OrderReader."""
        return self._freshness

    async def standing(self) -> Standing:
        """See OrderReader."""
        own = self._identity.generation
        return Standing(own, (own,), () if self._freshness is None else (self._freshness,))

    async def search(self, search: OrderSearch) -> FoundOrders:
        """See OrderQuestions."""
        since = self._write_of(search.since) if search.since else self._writes
        found = memory_questions.search(self._documents(), search, lambda order_id: self._written[order_id] > since)
        return replace(deepcopy(found), generation=self._identity.generation)

    async def summarize(self, summaries: OrderSummaries) -> FoundFigures:
        """See OrderQuestions."""
        found = memory_questions.summarize(self._documents(), summaries)
        return replace(found, generation=self._identity.generation)

    async def payments(self, asked: PaymentSummaries) -> FoundPayments:
        """See PaymentQuestions."""
        return memory_payments.payments([entry for _, entry in self._entries.values()], asked)

    async def customer(self, customer_id: str, *, recent: int) -> CustomerFigures:
        """See OrderQuestions."""
        found = memory_questions.customer(self._documents(), customer_id, recent)
        return replace(deepcopy(found), generation=self._identity.generation)

    async def mark(self) -> str:
        """See OrderQuestions."""
        return f"{self._identity.read_model}:{self._writes}"

    def first_mark(self, mark: str) -> str:
        """See OrderQuestions."""
        return f"{mark.rpartition(':')[0]}:0"

    def marked(self, mark: str) -> str:
        """See OrderQuestions."""
        return self._identity.generation

    async def listed(self, order_ids: Sequence[str]) -> list[Edition]:
        """See OrderQuestions. Everything is searchable at once."""
        return [shown.edition for shown in await self.shown(order_ids)]

    async def shown(self, order_ids: Sequence[str]) -> list[ShownOrder]:
        """See OrderReader."""
        documents = (self._orders.get(order_id, (0, None))[1] for order_id in order_ids)
        return [
            ShownOrder((document["source_epoch"], document["version"]), document["redacted"])
            if document is not None
            else ShownOrder()
            for document in documents
        ]

    async def refresh(self) -> None:
        """See ProjectionWriter. Everything is searchable at once."""

    async def parked_orders(self) -> dict[str, tuple[int, ...]]:
        """See OrderQuestions."""
        orders = [self._order(order_id) for order_id in self._parked if order_id is not None]
        return {order.order_id: order.parked_versions for order in orders if order.lacks_parked_version}

    def _write_of(self, mark: str) -> int:
        read_model, _, write = mark.rpartition(":")
        if read_model != self._identity.read_model or not write.isdecimal():
            raise PageTokenMalformed("the read model was rebuilt since the page token was issued; begin again")
        return int(write)

    def _documents(self) -> list[OrderDocument]:
        return [document for _, document in self._orders.values()]

    async def identity(self) -> StoreIdentity:
        """See ProjectionWriter."""
        return self._identity

    async def prepare(self) -> StoreIdentity:
        """See ReadStore."""
        return self._identity

    async def renew_settings(self) -> list[str]:
        """See ReadStore."""
        return []

    async def close(self) -> None:
        """See OrderReader."""


def _parking_place(event: ParkedEvent) -> tuple[int, int]:
    return (event.version, 0) if event.order_id is not None else (event.sequence, event.stored_at)
