"""Runs one transaction in as few round trips as possible: statements without a needed result go with the COMMIT.

A server runs a batch of statements in order and skips the rest after the first error. So the COMMIT never commits half
of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import psycopg
from psycopg import AsyncCursor

from command_service.storage.command_connection import Row, Statement
from command_service.storage.conversation import Conversation
from command_service.storage.database_errors import meaning_of

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

    def __init__(self, conversation: Conversation, *, statement_seconds: float | None = None) -> None:
        """Prepares a transaction. `statement_seconds` bounds each statement, below the connection's own limit."""
        self._conversation, self._statement_seconds = conversation, statement_seconds
        self._committed = False
        self._sent: list[str] = []

    @property
    def begun(self) -> bool:
        """Tells whether anything was sent."""
        return bool(self._sent)

    @property
    def sent(self) -> Sequence[str]:
        """Returns the sent statements, with the rollback of an uncommitted transaction."""
        return (*self._sent, *([] if self._committed else [ROLLBACK]))

    async def fetch(self, *statements: Statement) -> Row | None:
        """Sends the statements together; returns the last one's first row, or None. Raises as `meaning_of` says."""
        return await (await self._send(statements)).fetchone()

    async def commit(self, *statements: Statement) -> None:
        """Sends the statements and the COMMIT; everything is durable on return. Raises as `meaning_of` says.

        From now on it runs to its end even if the caller leaves, because its outcome would otherwise be unknown.
        """
        cursor = await self._send((*statements, (COMMIT, ())), to_the_end=True)
        # A COMMIT in a failed transaction is answered, without an error, by a rollback.
        if cursor.statusmessage != COMMIT:
            raise RuntimeError(f"the server answered {cursor.statusmessage} to COMMIT")
        self._committed = True

    async def _send(self, statements: Sequence[Statement], *, to_the_end: bool = False) -> AsyncCursor[Row]:
        beginning: list[Statement] = [] if self.begun else [(BEGIN, ())]
        if beginning and self._statement_seconds is not None:
            beginning.append((LIMIT, (f"{max(1, math.ceil(self._statement_seconds * 1000))}ms",)))
        batch = [*beginning, *statements]
        self._sent.extend(sql for sql, _ in batch)
        try:
            return await self._conversation.run(batch, to_the_end=to_the_end)
        except psycopg.Error as error:
            meaning = meaning_of(error)
            if meaning is None:
                raise
            raise meaning from error
