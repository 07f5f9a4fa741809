"""Finds the partitions that a command's statements touch, by EXPLAIN and by the locks of the transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import psycopg
from psycopg import AsyncRawCursor

from bench.commands.statements import Statement
from command_service.storage.transaction import BEGIN, COMMIT

#: A plan does not say which partition a row is inserted into, but the transaction's locks do.
LOCKED = (
    "SELECT inhrelid::regclass::text FROM pg_inherits JOIN pg_locks ON relation = inhrelid"
    " WHERE inhparent = 'outbox'::regclass AND pid = pg_backend_pid()"
)
PARTITIONS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'outbox'::regclass"


async def partitions_touched(url: str, statements: Iterable[Statement]) -> set[str]:
    """Returns the outbox partitions that these statements read according to their plans, or that they lock.

    The statements run in the database at `url`, in one transaction that is rolled back.
    """
    async with await psycopg.AsyncConnection.connect(url, cursor_factory=AsyncRawCursor) as connection:
        partitions = {name for (name,) in await (await connection.execute(PARTITIONS)).fetchall()}
        relations = set[str]()
        for sql, values in statements:
            if sql not in (BEGIN, COMMIT):
                plans = await connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", values or None)
                for ((found, *_),) in await plans.fetchall():
                    relations.update(node["Relation Name"] for node in _nodes(found["Plan"]) if "Relation Name" in node)
        locked = {name for (name,) in await (await connection.execute(LOCKED)).fetchall()}
        await connection.rollback()
    return (relations & partitions) | locked


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)
