"""Follows the write side's outbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC
from typing import Any

import psycopg

from devstack.cli.stream.silence import NobodyAnswers
from devstack.cli.waiting_time import patience_seconds

POLL_SECONDS = 0.2
_COLUMNS = "position, recorded_at, event_type, aggregate_id, aggregate_version, headers->>'actor'"
_NEWEST = f"SELECT {_COLUMNS} FROM (SELECT * FROM outbox ORDER BY position DESC LIMIT %s) newest ORDER BY position"  # noqa: S608
_LATER = f"SELECT {_COLUMNS} FROM outbox WHERE position > %s ORDER BY position"  # noqa: S608


async def tail_outbox(url: str, stop: asyncio.Event, row: Callable[..., None], *, last: int, follow: bool) -> None:
    """Passes the last events to `row`, and later ones until `stop`. Raises NobodyAnswers."""
    async with _asked(url) as ask:
        rows = await ask(_NEWEST, last) if last else []
        seen = rows[-1][0] if rows else await _newest_position(ask)
        while True:
            for position, recorded_at, event_type, order_id, version, actor in rows:
                seen = max(seen, position)
                time = recorded_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
                row(time, position, event_type, str(order_id), version, actor or "")
            if not follow or stop.is_set() or await _stopped_within(stop, POLL_SECONDS):
                return
            # For people only: a transaction that commits late is printed late or not at all. The relay misses none.
            rows = await ask(_LATER, seen)


async def _newest_position(ask: Callable[..., Any]) -> int:
    rows: Sequence[Sequence[Any]] = await ask(_NEWEST, 1)
    return int(rows[-1][0]) if rows else 0


@asynccontextmanager
async def _asked(url: str) -> AsyncIterator[Callable[..., Any]]:
    """Yields a function that runs one query; raises NobodyAnswers when the database does not answer, then or later."""
    address = url.rpartition("@")[2]
    try:
        async with asyncio.timeout(patience_seconds()):
            connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
        try:

            async def ask(question: str, argument: int) -> Sequence[Sequence[Any]]:
                async with asyncio.timeout(patience_seconds()):
                    return await (await connection.execute(question, [argument])).fetchall()

            yield ask
        finally:
            # Not by the driver's farewell, for which a database that hangs would be waited.
            connection.pgconn.finish()
    except (psycopg.OperationalError, OSError, TimeoutError) as error:
        why = str(error).strip().split("\n")[0] or f"no answer within {patience_seconds():g} s"
        raise NobodyAnswers(f"Postgres on {address} does not answer: {why}.") from None


async def _stopped_within(stop: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True
