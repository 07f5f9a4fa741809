"""Finds a position of the outbox below which no event can appear any more.

A transaction gets its position before it commits, so a lower position may become visible after a higher one. While it
runs, such a transaction holds a lock on the outbox. So the highest visible position is settled when every transaction
that held this lock at that time has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from command_service.application.exporting.errors import ExportInterrupted
from command_service.storage.connection.message_writer import Statement
from command_service.storage.connection.round_trip import Row
from command_service.storage.database_errors import DEPENDENCY

HIGHEST = "SELECT coalesce(max(position), 0) FROM outbox"
_WRITING = "FROM pg_locks WHERE relation = 'outbox'::regclass AND mode = 'RowExclusiveLock' AND granted"
WRITERS = f"SELECT coalesce(array_agg(virtualtransaction), '{{}}') {_WRITING}"
STILL_WRITING = f"SELECT count(*) {_WRITING} AND virtualtransaction = ANY($1::text[])"
#: Commands may run for COMMAND_DEADLINE_CAP_SECONDS, which is 30 by default.
PATIENCE_SECONDS = 60.0
PAUSE_SECONDS = 0.02

#: Runs one statement in a transaction of its own and returns its one row.
Ask = Callable[[Statement], Awaitable[Row]]


async def settled_position(ask: Ask) -> int:
    """Returns the highest visible position, when no transaction that began before can still add a lower one.

    Raises ExportInterrupted when such a transaction has run for PATIENCE_SECONDS.
    """
    # In this sequence: a transaction whose position is at most the highest one already holds the lock.
    (highest,) = await ask((HIGHEST, ()))
    (writers,) = await ask((WRITERS, ()))
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while writers and (await ask((STILL_WRITING, (writers,))))[0]:  # noqa: ASYNC110 - a lock in another process
                await asyncio.sleep(PAUSE_SECONDS)
    except TimeoutError:
        raise ExportInterrupted(
            DEPENDENCY, f"a transaction has been writing to the outbox for {PATIENCE_SECONDS:g} s"
        ) from None
    return int(highest)
