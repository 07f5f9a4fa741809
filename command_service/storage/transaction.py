"""Runs one transaction in as few round trips as possible: statements without a needed result wait for the COMMIT.

A server runs a batch of statements in order and skips the rest after the first error. So a queued COMMIT never commits
half of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from psycopg import AsyncCursor

from command_service.storage.command_connection import Row, Statement
from command_service.storage.conversation import Conversation
from command_service.storage.database_errors import translated

#: Explicit: a default set for the role or the database must not change what a unit of work means.
BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
#: For the time that the caller still waits: whoever left must not leave work behind, even if this process is gone.
LIMIT = "SELECT set_config('statement_timeout', $1, true)"
COMMIT = "COMMIT"
ROLLBACK = "ROLLBACK"

#: How long a statement may take, waiting for locks included.
STATEMENT_SECONDS = 30.0

#: Gets the statements of a transaction after it ended, as they were sent.
StatementListener = Callable[[Sequence[str]], None]


class Transaction:
    """A transaction on a connection in autocommit mode with `$1` placeholders.

    Without a commit the end of its conversation rolls it back.
    """

    def __init__(
        self,
        conversation: Conversation,
        listener: StatementListener | None = None,
        *,
        statement_seconds: float | None = None,
    ) -> None:
        """Prepares a transaction. `statement_seconds` bounds each statement, below the connection's own limit."""
        self._conversation, self._listener = conversation, listener
        self._statement_seconds = statement_seconds
        self._begun = self._committed = False
        self._queue: list[Statement] = []
        self._sent: list[str] = []

    def queue(self, sql: str, parameters: Sequence[Any]) -> None:
        """Queues a statement for the next round trip; its result is not needed."""
        self._queue.append((sql, parameters))

    async def fetch(self, sql: str, parameters: Sequence[Any]) -> Row | None:
        """Sends the queued statements and this one; returns its first row, or None. Raises as `translated` says."""
        self.queue(sql, parameters)
        return await (await self._flush()).fetchone()

    async def commit(self) -> None:
        """Sends the queued statements and the COMMIT; everything is durable on return. Raises as `translated` says.

        From now on it runs to its end even if the caller leaves, because its outcome would otherwise be unknown.
        """
        self.queue(COMMIT, ())
        cursor = await self._flush(to_the_end=True)
        # A COMMIT in a failed transaction is answered, without an error, by a rollback.
        if cursor.statusmessage != COMMIT:
            raise RuntimeError(f"the server answered {cursor.statusmessage} to COMMIT")
        self._committed = True

    def tell(self) -> None:
        """Reports the sent statements to the listener, with the rollback of an uncommitted transaction."""
        if self._listener is not None and self._begun:
            self._listener((*self._sent, *([] if self._committed else [ROLLBACK])))

    async def _flush(self, *, to_the_end: bool = False) -> AsyncCursor[Row]:
        batch = ([] if self._begun else self._beginning()) + self._queue
        self._begun, self._queue = True, []
        self._sent.extend(sql for sql, _ in batch)
        with translated():
            return await self._conversation.run(batch, to_the_end=to_the_end)

    def _beginning(self) -> list[Statement]:
        if self._statement_seconds is None:
            return [(BEGIN, ())]
        return [(BEGIN, ()), (LIMIT, (f"{max(1, math.ceil(self._statement_seconds * 1000))}ms",))]
