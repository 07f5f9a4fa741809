"""A write side in memory for tests of comparing and mending: its orders, with their journals and hash chains."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

from tandem.orders.partition import partition_of

from query_service.application.ports.order_source import (
    EVERY_ORDER,
    BucketDigest,
    HeadPage,
    JournalPage,
    OrderHead,
    OrderJournal,
    OrderSelection,
    SourceDigests,
    SourceParts,
)
from query_service.application.ports.read_store import Freshness, ProjectionWriter
from query_service.projection.project import project
from query_service.projection.recorded_event import GENESIS, RecordedEvent, chain_hash, stream_event
from tests.support.queries.order_events import an_order, published

PAGE_ORDERS = 7


class MemorySource:
    """An OrderSource over the events that `place` and `change` record. `time` is its clock, in microseconds."""

    dependency = "order-export"

    def __init__(self) -> None:
        self.journals_by_id: dict[str, list[RecordedEvent]] = {}
        self.time, self.source_epoch = 1_000_000, 1

    def place(self, versions: int = 1) -> str:
        """Records an order of so many versions; returns its id."""
        order_id = str(uuid.uuid4())
        self.journals_by_id[order_id] = []
        for _ in range(versions):
            self.change(order_id)
        return order_id

    def change(self, order_id: str) -> RecordedEvent:
        """Records the order's next event."""
        events = self.journals_by_id[order_id]
        order = an_order(order_id, len(events) + 1)
        message = published(order)
        body = json.loads(message.body)
        texts = {name: json.dumps(body[name], separators=(",", ":")) for name in ("headers", "payload", "personal")}
        self.time += 1
        event = RecordedEvent(
            order_id=order_id,
            version=order.version,
            event_id=message.event_id,
            aggregate_type="order",
            event_type=message.event_type,
            occurred_at=self.time,
            recorded_at=self.time,
            position=self.time,
            headers=texts["headers"],
            payload=texts["payload"],
            personal=texts["personal"],
            salt=body["salt"],
            personal_digest=hashlib.sha256(bytes.fromhex(body["salt"]) + texts["personal"].encode()).hexdigest(),
            hash="",
        )
        event = replace(event, hash=chain_hash(bytes.fromhex(events[-1].hash) if events else GENESIS, event).hex())
        events.append(event)
        return event

    async def project_into(self, store: ProjectionWriter) -> None:
        """Projects every event as a projector does, and claims that all of them are applied."""
        events = [event for journal in self.journals_by_id.values() for event in journal]
        await store.apply([project(stream_event(event, self.source_epoch)) for event in events])
        await self.claim(store)

    async def claim(self, store: ProjectionWriter) -> None:
        """Claims that everything so far is applied."""
        await store.record_freshness(Freshness(self.time, self.source_epoch, "g1", 1, len(self.journals_by_id)))

    def _selected(self, selection: OrderSelection) -> list[list[str]]:
        ids = [
            order_id
            for order_id in sorted(self.journals_by_id)
            if order_id > selection.after
            and (not selection.until or order_id <= selection.until)
            and (selection.order_ids is None or order_id in selection.order_ids)
            and (not selection.partitions or partition_of(order_id) in selection.partitions)
        ]
        return [ids[begin : begin + PAGE_ORDERS] for begin in range(0, len(ids), PAGE_ORDERS)] or [[]]

    async def heads(self, selection: OrderSelection = EVERY_ORDER) -> AsyncIterator[HeadPage]:
        """See OrderSource."""
        for ids in self._selected(selection):
            heads = [OrderHead(one, len(self.journals_by_id[one]), self.journals_by_id[one][-1].hash) for one in ids]
            yield HeadPage(heads, ids[-1] if ids else "", self.time, self.source_epoch)

    async def journals(self, selection: OrderSelection = EVERY_ORDER) -> AsyncIterator[JournalPage]:
        """See OrderSource."""
        for ids in self._selected(selection):
            found = [OrderJournal(one, len(self.journals_by_id[one]), list(self.journals_by_id[one])) for one in ids]
            yield JournalPage(found, ids[-1] if ids else "", self.time, self.source_epoch)

    async def digests(self) -> SourceDigests:
        """See OrderSource."""
        buckets = [(0, hashlib.sha256()) for _ in range(64)]
        for order_id, events in sorted(self.journals_by_id.items()):
            orders, digest = buckets[partition_of(order_id)]
            digest.update(UUID(order_id).bytes + len(events).to_bytes(8) + bytes.fromhex(events[-1].hash))
            buckets[partition_of(order_id)] = orders + 1, digest
        return SourceDigests([BucketDigest(n, digest.digest()) for n, digest in buckets], self.time, self.source_epoch)

    async def split(self, parts: int) -> SourceParts:
        """See OrderSource."""
        return SourceParts([], len(self.journals_by_id))

    async def close(self) -> None:
        """See OrderSource."""
