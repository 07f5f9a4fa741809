"""What a command's statements touch, as the server plans and carries them out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import psycopg
from psycopg import AsyncRawCursor

from bench.commands.statements import Statement
from command_service.storage.transaction import BEGIN, COMMIT

#: Where a row is inserted a plan does not say: partitions are found as rows come. The locks of the transaction do.
LOCKED = (
    "SELECT inhrelid::regclass::text FROM pg_inherits JOIN pg_locks ON relation = inhrelid"
    " WHERE inhparent = 'outbox'::regclass AND pid = pg_backend_pid()"
)
PARTITIONS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'outbox'::regclass"


async def partitions_touched(url: str, statements: Iterable[Statement]) -> set[str]:
    """Partitions of the outbox in the executed plans of these statements, or locked by them.

    They are carried out in `url`, in one transaction that is rolled back.
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
