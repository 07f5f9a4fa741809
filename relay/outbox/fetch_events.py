"""Reads rows of the outbox as events, at most as many as there is room for."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import Any, cast

from relay.events.event import OutboxEvent
from relay.outbox.database import DatabaseConnection
from relay.outbox.table import Query

#: Rows fetched from the socket at a time; a chunk that turns out too large in bytes is cut at one of these.
_FETCH_ROWS = 50
#: The fixed part of a row's size in memory and on the wire: headers, ids, hashes.
ROW_OVERHEAD_BYTES = 1_024


async def fetch_events(connection: DatabaseConnection, query: Query, max_bytes: int) -> tuple[list[OutboxEvent], bool]:
    """Returns the rows, cut off once they exceed `max_bytes`, and whether they are complete."""
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
