"""Reads one snapshot: a read-only transaction in which every statement sees the same state."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from uuid import UUID

from command_service.application.exporting.ports import Digest, Head, StoredEvent
from command_service.application.exporting.selections import EventSelection, OrderSelection
from command_service.domain.order import Order
from command_service.storage.connection.conversation import Conversation
from command_service.storage.connection.message_writer import Statement
from command_service.storage.connection.round_trip import Row
from command_service.storage.exports.comparison_statements import COUNT, CUTS, SORT_MEMORY, digests_of, numbers_of_cuts
from command_service.storage.exports.journal_statements import event_of, events_of, journals_of
from command_service.storage.exports.order_statements import head_of, heads_of, order_with_head, orders_of

#: How many rows one round trip fetches. They are in memory in addition to the page, and are read from the answer in one
#: go of about a millisecond, during which commands wait.
ORDERS_AT_ONCE, EVENTS_AT_ONCE, HEADS_AT_ONCE = 10, 32, 200


class PostgresSnapshot:
    """Implements the port `Snapshot` in a transaction that has begun. `pause` is called before each row."""

    def __init__(
        self,
        conversation: Conversation,
        read_time: datetime,
        source_epoch: int,
        pause: Callable[[], Awaitable[None]],
    ) -> None:
        self._conversation, self._pause = conversation, pause
        self.read_time, self.source_epoch = read_time, source_epoch

    async def heads(self, selection: OrderSelection, limit: int) -> AsyncGenerator[Head]:
        """Yields the heads of selected orders."""
        async with aclosing(self._rows(heads_of(selection, limit), HEADS_AT_ONCE)) as rows:
            async for row in rows:
                yield head_of(row)

    async def orders(self, selection: OrderSelection, limit: int) -> AsyncGenerator[tuple[Head, Order]]:
        """Yields selected orders from their tables."""
        async with aclosing(self._rows(orders_of(selection, limit), ORDERS_AT_ONCE)) as rows:
            async for row in rows:
                yield order_with_head(row)

    async def journals(self, order_ids: Sequence[UUID], after_version: int) -> AsyncGenerator[StoredEvent]:
        """Yields the events of the orders; of the first one only those after `after_version`."""
        async with aclosing(self._rows(journals_of(order_ids, after_version), EVENTS_AT_ONCE)) as rows:
            async for row in rows:
                yield event_of(row)

    async def events(self, selection: EventSelection, until: int, limit: int) -> AsyncGenerator[StoredEvent]:
        """Yields selected events up to the position `until`."""
        async with aclosing(self._rows(events_of(selection, until, limit), EVENTS_AT_ONCE)) as rows:
            async for row in rows:
                yield event_of(row)

    async def digests(self, partitions: Sequence[int]) -> Mapping[int, Digest]:
        """Returns the digests of the buckets that have orders."""
        answer = await self._conversation.run([(SORT_MEMORY, ()), digests_of(partitions)])
        return {partition: Digest(orders, digest) for partition, orders, digest in answer.rows()}

    async def cuts(self, parts: int) -> tuple[list[UUID], int]:
        """Returns the order ids that cut all orders into parts, and the number of orders."""
        counted = (await self._conversation.run([(COUNT, ())])).row()
        orders = int(counted[0]) if counted else 0
        answer = await self._conversation.run([(CUTS, (numbers_of_cuts(orders, parts),))])
        return [row[0] for row in answer.rows()], orders

    async def _rows(self, statement: Statement, at_once: int) -> AsyncGenerator[Row]:
        """Yields the rows of a SELECT, which the server computes only as far as they are read."""
        select, values = statement
        fetch: Statement = (f"FETCH {at_once} FROM page", ())
        batch = [(f"DECLARE page NO SCROLL CURSOR FOR {select}", values), fetch]
        while True:
            rows = (await self._conversation.run(batch)).rows()
            for row in rows:
                await self._pause()
                yield row
            if len(rows) < at_once:
                await self._conversation.run([("CLOSE page", ())])
                return
            batch = [fetch]
