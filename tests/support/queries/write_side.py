"""Stands for the write side in tests of a rebuild: a journal that grows, its exports, and its stream."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from query_service.application.ports.errors import DependencyDown
from query_service.application.ports.order_source import (
    EVERY_ORDER,
    HeadPage,
    JournalPage,
    OrderSelection,
    SourceDigests,
    SourceParts,
)
from query_service.projection.project import project
from query_service.projection.recorded_event import GENESIS, chain_hash, recorded_event
from query_service.projection.stream_event import read_event
from relay.events.digest import base64url
from tests.support.queries.memory_source import MemorySource
from tests.support.queries.order_events import PublishedEvent, an_order, published
from tests.support.queries.read_side import ReadSide


class WriteSide:
    """Implements OrderSource. Commits changes to a journal in memory, and publishes them and barriers as the relay."""

    dependency = "write side"

    def __init__(self, side: ReadSide) -> None:
        self._side, self._source = side, MemorySource()
        self.journal = self._source.journals_by_id
        #: When the changes were made that are not published yet. A barrier must not be later.
        self._unpublished: list[datetime] = []
        #: Orders that exports of journals lack, as if they were exported before these were written.
        self.hidden: set[str] = set()
        #: Pages to serve before the export is cut; None: never.
        self.cut_after: int | None = None
        self.pages = 0
        #: Exports of journals wait while it is cleared.
        self.gate = asyncio.Event()
        self.gate.set()

    async def change(self, order_id: str = "") -> PublishedEvent:
        """Commits and publishes a new order, or the next version of one."""
        order_id = order_id or str(uuid.uuid4())
        journal, begun = self.journal.setdefault(order_id, []), datetime.now(UTC)
        self._unpublished.append(begun)
        event = published(an_order(order_id, len(journal) + 1), recorded_at=begun)
        record = recorded_event(project(read_event(event.headers, event.body)).event)
        digest = chain_hash(bytes.fromhex(journal[-1].hash) if journal else GENESIS, record).hex()
        journal.append(replace(record, hash=digest))
        event = replace(event, headers={**event.headers, "Tandem-Hash": base64url(digest)})
        await self._side.publish(event)
        self._unpublished.remove(begun)
        return event

    @contextlib.asynccontextmanager
    async def barriers(self, every: float = 0.2) -> AsyncIterator[None]:
        """Publishes a barrier again and again within the block."""

        async def forever() -> None:
            while True:
                before = min([datetime.now(UTC), *self._unpublished]) - timedelta(milliseconds=1)
                await self._side.publish_barrier(before)
                await asyncio.sleep(every)

        task = asyncio.create_task(forever())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def journals(self, selection: OrderSelection = EVERY_ORDER) -> AsyncIterator[JournalPage]:
        """See OrderSource."""
        async for page in self._source.journals(selection):
            await self.gate.wait()
            if self.cut_after is not None and self.pages >= self.cut_after:
                raise DependencyDown(self.dependency, "the export was cut")
            self.pages += 1
            shown = [journal for journal in page.journals if journal.order_id not in self.hidden]
            yield replace(page, journals=shown)

    async def heads(self, selection: OrderSelection = EVERY_ORDER) -> AsyncIterator[HeadPage]:
        """See OrderSource."""
        async for page in self._source.heads(selection):
            yield page

    async def digests(self) -> SourceDigests:
        """See OrderSource."""
        self._source.time = time.time_ns() // 1000
        return await self._source.digests()

    async def split(self, parts: int) -> SourceParts:
        """See OrderSource."""
        ids = sorted(self.journal)
        cuts = {ids[len(ids) * number // parts - 1] for number in range(1, parts) if len(ids) * number // parts}
        return SourceParts(sorted(cuts - {ids[-1]}), len(ids))

    async def close(self) -> None:
        """See OrderSource."""
