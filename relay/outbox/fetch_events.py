"""Reads rows of the outbox as events, up to a limit of bytes."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import Any, cast

from relay.events.event import OutboxEvent
from relay.outbox.database import DatabaseConnection
from relay.outbox.table import Query

#: The number of rows that are fetched at a time. What was fetched beyond the limit of bytes is dropped.
_FETCH_ROWS = 50
#: The fixed part of a row's size in memory and on the wire: headers, ids, hashes.
ROW_OVERHEAD_BYTES = 1_024


async def fetch_events(connection: DatabaseConnection, query: Query, max_bytes: int) -> tuple[list[OutboxEvent], bool]:
    """Returns the rows up to the first that reaches `max_bytes`, and whether these are all rows of the query."""
    events: list[OutboxEvent] = []
    size = 0
    async with connection.cursor(binary=True) as cursor:
        rows = cast("AsyncGenerator[Any]", cursor.stream(query.text, query.parameters, size=_FETCH_ROWS))
        async with contextlib.aclosing(rows):
            async for row in rows:
                event = OutboxEvent._make(row)
                events.append(event)
                size += ROW_OVERHEAD_BYTES + len(event.payload or "") + len(event.personal or "")
                if size >= max_bytes:
                    return events, False
    return events, True
