"""Stands for the write side in tests of the read side: a journal that grows, its exports, and its stream."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

from tandem.orders.partition import partition_of

from query_service.application.ports.errors import DependencyDown
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
from query_service.projection.project import project
from query_service.projection.recorded_event import RecordedEvent, recorded_event
from query_service.projection.stream_event import read_event
from tests.support.queries.order_events import PublishedEvent, an_order, published
from tests.support.queries.read_side import ReadSide

BUCKETS = 64


def recorded(event: PublishedEvent) -> RecordedEvent:
    """Returns an event as the journal stores it."""
    return recorded_event(project(read_event(event.headers, event.body)).event)


class WriteSide:
    """Implements OrderSource over a journal in memory. Commits events, and publishes them and barriers as the relay."""

    dependency = "write side"

    def __init__(self, side: ReadSide, *, page: int = 7) -> None:
        self._side, self._page = side, page
        self.journal: defaultdict[str, list[RecordedEvent]] = defaultdict(list)
        self.heads_of: dict[str, PublishedEvent] = {}
        #: Pages to serve before the export is cut; None: never.
        self.cut_after: int | None = None
        self.pages = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def commit(self, *events: PublishedEvent, publish: bool = True) -> None:
        """Commits events to the journal, and then publishes them."""
        for event in events:
            self.journal[event.order_id].append(recorded(event))
            self.heads_of[event.order_id] = event
            if publish:
                await self._side.publish(event)

    async def change(self, order_id: str = "") -> PublishedEvent:
        """Commits and publishes a new order, or the next version of one."""
        order_id = order_id or str(uuid.uuid4())
        version = len(self.journal[order_id]) + 1
        event = published(an_order(order_id, version), recorded_at=datetime.now(UTC))
        await self.commit(event)
        return event

    @contextlib.asynccontextmanager
    async def barriers(self, every: float = 0.2) -> AsyncIterator[None]:
        """Publishes a barrier again and again within the block."""

        async def forever() -> None:
            while True:
                # Everything committed before now is published already, because `commit` publishes before it returns.
                await self._side.publish_barrier(datetime.now(UTC) - timedelta(milliseconds=1))
                await asyncio.sleep(every)

        task = asyncio.create_task(forever())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def journals(self, selection: OrderSelection = EVERY_ORDER) -> AsyncIterator[JournalPage]:
        """See OrderSource."""
        async for ids in self._ids(selection):
            orders = [OrderJournal(one, len(self.journal[one]), list(self.journal[one])) for one in ids]
            yield JournalPage(orders, ids[-1] if ids else selection.after, time.time_ns() // 1000, 1)

    async def heads(self, selection: OrderSelection = EVERY_ORDER) -> AsyncIterator[HeadPage]:
        """See OrderSource."""
        async for ids in self._ids(selection):
            yield HeadPage(
                [self._head(one) for one in ids], ids[-1] if ids else selection.after, time.time_ns() // 1000, 1
            )

    async def digests(self) -> SourceDigests:
        """See OrderSource."""
        buckets: list[list[str]] = [[] for _ in range(BUCKETS)]
        for order_id in sorted(self.journal):
            buckets[partition_of(order_id)].append(order_id)
        return SourceDigests([self._digest(ids) for ids in buckets], time.time_ns() // 1000, 1)

    async def split(self, parts: int) -> SourceParts:
        """See OrderSource."""
        ids = sorted(self.journal)
        cuts = [ids[len(ids) * number // parts - 1] for number in range(1, parts) if len(ids) * number // parts]
        return SourceParts(sorted(set(cuts)), len(ids))

    async def close(self) -> None:
        """See OrderSource."""

    async def _ids(self, selection: OrderSelection) -> AsyncIterator[Sequence[str]]:
        after = selection.after
        while True:
            await self.gate.wait()
            if self.cut_after is not None and self.pages >= self.cut_after:
                raise DependencyDown(self.dependency, "the export was cut")
            self.pages += 1
            ids = [
                one for one in sorted(self.journal) if one > after and (not selection.until or one <= selection.until)
            ]
            yield ids[: self._page]
            if len(ids) <= self._page:
                return
            after = ids[self._page - 1]

    def _head(self, order_id: str) -> OrderHead:
        last = self.journal[order_id][-1]
        return OrderHead(order_id, last.version, last.hash)

    def _digest(self, order_ids: Sequence[str]) -> BucketDigest:
        digest = hashlib.sha256()
        for head in map(self._head, order_ids):
            digest.update(uuid.UUID(head.order_id).bytes + head.version.to_bytes(8) + bytes.fromhex(head.hash))
        return BucketDigest(len(order_ids), digest.digest())
