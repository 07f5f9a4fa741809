"""A connection that carries out the same few statements over and over, a batch of them in one round trip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection, AsyncCursor
from psycopg.pq import TransactionStatus

#: A result's row.
Row = tuple[Any, ...]
#: SQL with `$1` placeholders, and a value for each.
Statement = tuple[str, Sequence[Any]]


class CommandConnection(AsyncConnection[Row]):
    """Keeps a cursor for each statement: how its values are written and read is then found out once, not each time."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._cursors: dict[str, AsyncCursor[Row]] = {}

    async def run(self, batch: Sequence[Statement]) -> AsyncCursor[Row]:
        """Sends the statements together; the last one's cursor. Behind the first error the server skips the rest.

        There must be few different ones. A result stands in its cursor until the statement is run again.
        """
        async with self.pipeline():
            cursors = [await self._cursor(sql).execute(sql, values or None) for sql, values in batch]
        return cursors[-1]

    def _cursor(self, sql: str) -> AsyncCursor[Row]:
        cursor = self._cursors.get(sql)
        if cursor is None:
            cursor = self._cursors[sql] = self.cursor()
        return cursor

    async def end_transaction(self) -> None:
        """Rolls back, and keeps the statements that the server has prepared.

        The driver's own `rollback` drops them all: one may have come behind an error and not be prepared, whatever the
        driver thinks. Without an error there is none of these.
        """
        if self.info.transaction_status != TransactionStatus.INTRANS:
            await self.rollback()
            return
        threshold, self.prepare_threshold = self.prepare_threshold, None  # otherwise a ROLLBACK drops them as well
        try:
            await self.execute("ROLLBACK")
        finally:
            self.prepare_threshold = threshold
