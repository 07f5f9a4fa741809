"""One transaction in as few round trips as possible: what has no answer to wait for is queued and sent with the COMMIT.

A server runs a batch of statements in order and skips the rest after the first error, so a queued COMMIT never commits
half of the queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import socket
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg import AsyncCursor
from psycopg.pq import TransactionStatus

from command_service.storage.command_connection import CommandConnection, Row, Statement
from command_service.storage.database_errors import translated

#: Explicit: a default set for the role or the database must not change what a unit of work means.
BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
#: For the time that the caller still waits: whoever left must not leave work behind, even if this process is gone.
LIMIT = "SELECT set_config('statement_timeout', $1, true)"
COMMIT = "COMMIT"
ROLLBACK = "ROLLBACK"

#: How long a statement may take, waiting for locks included.
STATEMENT_SECONDS = 30.0
#: How long a round trip may stay without an answer before its connection counts as broken.
ANSWER_SECONDS = 35.0

#: Gets the statements of a transaction after it ended, as they were sent.
StatementListener = Callable[[Sequence[str]], None]


class Transaction:
    """A transaction on a connection that is in autocommit mode and takes `$1` placeholders."""

    def __init__(
        self,
        connection: CommandConnection,
        listener: StatementListener | None = None,
        *,
        answer_seconds: float = ANSWER_SECONDS,
        statement_seconds: float | None = None,
    ) -> None:
        """`statement_seconds` bounds each statement, below what the connection does anyway."""
        self._connection, self._listener = connection, listener
        self._answer_seconds, self._statement_seconds = answer_seconds, statement_seconds
        self._begun = False
        self._queue: list[Statement] = []
        self._sent: list[str] = []

    def queue(self, sql: str, parameters: Sequence[Any]) -> None:
        """Leaves a statement for the next round trip; its result is not wanted."""
        self._queue.append((sql, parameters))

    async def fetch(self, sql: str, parameters: Sequence[Any]) -> Row | None:
        """Sends what is queued and this statement; its first row, or None. Raises as `translated` says."""
        self.queue(sql, parameters)
        return await (await self._flush()).fetchone()

    async def commit(self) -> None:
        """Sends what is queued and the COMMIT; on return it is durable. Raises as `translated` says."""
        self.queue(COMMIT, ())
        cursor = await self._flush()
        # A COMMIT in a failed transaction is answered, without an error, by a rollback.
        if cursor.statusmessage != COMMIT:
            raise RuntimeError(f"the server answered {cursor.statusmessage} to COMMIT")

    async def end(self) -> None:
        """Rolls back what was not committed and tells the listener. The connection may be broken."""
        unfinished = self._connection.info.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR)
        if unfinished and not self._connection.broken:
            self._sent.append(ROLLBACK)
            with contextlib.suppress(psycopg.Error):  # a connection that breaks now has rolled back as well
                await self._connection.end_transaction()
        if self._listener is not None and self._sent:
            self._listener(tuple(self._sent))

    async def _flush(self) -> AsyncCursor[Row]:
        batch = ([] if self._begun else self._beginning()) + self._queue
        self._begun, self._queue = True, []
        self._sent.extend(sql for sql, _ in batch)
        # A server ends a statement that takes too long. A server, or a way to it, that has fallen silent ends nothing.
        silence = asyncio.get_running_loop().call_later(self._answer_seconds, _hang_up, self._connection)
        try:
            with translated():
                return await self._connection.run(batch)
        finally:
            silence.cancel()

    def _beginning(self) -> list[Statement]:
        if self._statement_seconds is None:
            return [(BEGIN, ())]
        return [(BEGIN, ()), (LIMIT, (f"{max(1, math.ceil(self._statement_seconds * 1000))}ms",))]


def _hang_up(connection: CommandConnection) -> None:
    """Shuts the connection's socket, so that whoever waits for it finds it broken."""
    with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)
