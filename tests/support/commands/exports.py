"""Exports over a database in this process, without gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import psycopg

from command_service.application.exporting.commands_first import CommandsFirst
from command_service.application.exporting.event_pages import EventPage, EventPages
from command_service.application.exporting.order_pages import ExportedOrder, OrderPage, OrderPages
from command_service.application.exporting.ports import StoredEvent
from command_service.application.exporting.selections import EventSelection, OrderSelection, View
from command_service.storage.exports.pool import export_pool
from command_service.storage.exports.snapshots import PostgresSnapshots
from command_service.wire.order_messages import order_message

#: Gives each order so many more, and their events too: order ids are random, versions and hashes stay.
MULTIPLY = """
WITH copied AS (
    SELECT orders.*, gen_random_uuid() AS new_id FROM orders, generate_series(1, {copies})
), placed AS (
    INSERT INTO orders SELECT (r).* FROM (
        SELECT jsonb_populate_record(NULL::orders, to_jsonb(copied) || jsonb_build_object(
            'order_id', new_id, 'order_number', new_id::text)) AS r FROM copied
    ) AS rows
)
INSERT INTO outbox (event_id, aggregate_type, aggregate_id, aggregate_version, partition, event_type, payload, personal,
                    salt, personal_digest, headers, hash, occurred_at, recorded_at)
SELECT gen_random_uuid(), aggregate_type, new_id, aggregate_version, o.partition, event_type, payload, personal, salt,
       personal_digest, headers, hash, occurred_at, o.recorded_at
FROM outbox o JOIN copied ON o.aggregate_id = copied.order_id
"""


@dataclass
class Exports:
    """Reads whole exports."""

    snapshots: PostgresSnapshots

    async def order_pages(
        self, view: View = View.HEADS, page_size: int = 1_000, selection: OrderSelection | None = None
    ) -> list[OrderPage]:
        """Returns all pages of an export of orders."""
        pages = OrderPages(self.snapshots, order_message, lambda event: event)
        return [page async for page in pages.read(selection or OrderSelection(), view, page_size)]

    async def orders(
        self, view: View = View.HEADS, page_size: int = 1_000, selection: OrderSelection | None = None
    ) -> list[ExportedOrder]:
        """Returns the orders of all pages."""
        return [order for page in await self.order_pages(view, page_size, selection) for order in page.orders]

    async def ids(self, selection: OrderSelection) -> list[UUID]:
        """Returns the ids of the selected orders."""
        return [exported.head.order_id for exported in await self.orders(View.HEADS, 3, selection)]

    async def event_pages(self, page_size: int = 1_000, selection: EventSelection | None = None) -> list[EventPage]:
        """Returns all pages of an export of the journal."""
        pages = EventPages(self.snapshots)
        return [page async for page in pages.read(selection or EventSelection(), page_size, lambda event: event)]

    async def events(self, selection: EventSelection | None = None) -> list[StoredEvent]:
        """Returns the events of all pages."""
        return [event for page in await self.event_pages(3, selection) for event in page.events]


@asynccontextmanager
async def exporting(url: str, commands: CommandsFirst | None = None) -> AsyncIterator[Exports]:
    """Yields exports over the database at `url`. Without `commands`, no command is ever in progress."""
    if commands is None:
        resting = asyncio.Event()
        resting.set()
        commands = CommandsFirst(resting)
    async with export_pool(url, size=2, max_waiting=100, statement_seconds=120) as pool:
        yield Exports(PostgresSnapshots(pool, pause=commands.pause))


async def fetch(url: str, statement: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
    """Returns the rows of a SELECT, read in UTC."""
    async with await psycopg.AsyncConnection.connect(url, options="-c timezone=UTC") as connection:
        return await (await connection.execute(statement, values)).fetchall()
