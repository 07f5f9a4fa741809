"""Runs one transaction in as few round trips as possible: statements whose results are not needed go with the COMMIT.

The server runs a batch of statements in order and skips the rest after the first error. So the COMMIT never commits
half of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import psycopg

from command_service.storage.connection.conversation import Conversation
from command_service.storage.connection.message_writer import Statement
from command_service.storage.connection.round_trip import Answer, Row
from command_service.storage.database_errors import meaning_of

#: Explicit, because a default of the role or the database must not change what a unit of work guarantees.
BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
#: Limits statements to the time that the caller still waits, so that the server ends them even if this process dies.
LIMIT = "SELECT set_config('statement_timeout', $1, true)"
COMMIT = "COMMIT"
ROLLBACK = "ROLLBACK"

#: The longest time that a statement may take, including its waits for locks.
STATEMENT_SECONDS = 30.0

#: Called with the SQL texts of a transaction, in the order sent, after it has ended.
StatementListener = Callable[[Sequence[str]], None]


class Transaction:
    """A transaction on a connection in autocommit mode with `$1` placeholders.

    The first statement begins the transaction. If it is not committed, the end of its conversation rolls it back.
    """

    def __init__(self, conversation: Conversation, *, statement_seconds: float | None = None) -> None:
        """Prepares a transaction. `statement_seconds` limits each statement; None: the connection's limit applies."""
        self._conversation, self._statement_seconds = conversation, statement_seconds
        self._committed = False
        self._sent: list[str] = []

    @property
    def begun(self) -> bool:
        """Whether any statement was sent."""
        return bool(self._sent)

    @property
    def sent(self) -> Sequence[str]:
        """The SQL texts that were sent, and ROLLBACK at the end if the transaction was not committed."""
        return (*self._sent, *([] if self._committed else [ROLLBACK]))

    async def fetch(self, *statements: Statement) -> Row | None:
        """Sends the statements together and returns the first row of the last one, or None if it has no row.

        Raises the application's error for a psycopg.Error where `meaning_of` knows one, otherwise the psycopg.Error.
        """
        return (await self._send(statements)).row()

    async def fetch_each(self, *statements: Statement) -> list[Row | None]:
        """Sends the statements together and returns the first row of each; None for one without. Raises as `fetch`."""
        answer, last = await self._send(statements), len(statements) - 1
        return [answer.before(last - place).row() for place in range(len(statements))]

    async def commit(self, *statements: Statement) -> None:
        """Sends the statements and the COMMIT together. When it returns, the transaction is durable. Raises as `fetch`.

        The commit runs to its end even if the caller is cancelled, because its outcome would otherwise be unknown.
        """
        answer = await self._send((*statements, (COMMIT, ())), to_the_end=True)
        # In a failed transaction the server answers a COMMIT by rolling back, without an error.
        if answer.status != COMMIT:
            raise RuntimeError(f"the server answered {answer.status} to COMMIT")
        self._committed = True

    async def _send(self, statements: Sequence[Statement], *, to_the_end: bool = False) -> Answer:
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
