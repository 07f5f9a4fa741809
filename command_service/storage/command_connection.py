"""Runs batches of statements on one database connection, each batch in one round trip."""

from __future__ import annotations

import itertools
import select
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import AsyncConnection, AsyncCursor
from psycopg.errors import PipelineAborted
from psycopg.pq import PipelineStatus, TransactionStatus

#: A result's row.
Row = tuple[Any, ...]
#: SQL with `$1` placeholders, and a value for each.
Statement = tuple[str, Sequence[Any]]


class OutOfStep(Exception):  # noqa: N818 - says what happened
    """The driver's idea of the connection's state may be wrong, so the connection must not be used again."""


class CommandConnection(AsyncConnection[Row]):
    """A connection for a small set of statements that run again and again.

    It keeps one cursor per statement, so the driver works out only once how to write and read that statement's values.
    """

    #: Numbers for the probes of `start_anew`. No two probes of this process, on any connection, use the same number.
    _proofs = itertools.count()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._cursors: defaultdict[str, AsyncCursor[Row]] = defaultdict(lambda: self.cursor())

    async def run(self, batch: Sequence[Statement]) -> AsyncCursor[Row]:
        """Sends the statements together and returns the last one's cursor. After an error the server skips the rest.

        Use few different SQL texts, because the connection keeps a cursor for each. The next run of the same text
        replaces the result. Raises psycopg.Error for the first statement that failed.
        """
        first: psycopg.Error | None = None
        try:
            async with self.pipeline():
                try:
                    cursors = [await self._cursors[sql].execute(sql, values or None) for sql, values in batch]
                except psycopg.Error as error:  # caught inside the pipeline, which would otherwise log a warning
                    first = error
        except psycopg.Error as error:
            first = first or _cause(error)
        if first is not None:
            raise first
        return cursors[-1]

    @property
    def idle(self) -> bool:
        """Whether the connection has no open transaction and waits for no answer."""
        return (
            self.pgconn.transaction_status == TransactionStatus.IDLE
            and self.pgconn.pipeline_status == PipelineStatus.OFF
        )

    @property
    def spoken_to(self) -> bool:
        """Whether the connection is closed or has unread data. On an idle one, data means that the session ended."""
        if self.closed:
            return True
        arrivals = select.poll()
        arrivals.register(self.fileno(), select.POLLIN)
        return bool(arrivals.poll(0))

    async def end_transaction(self) -> None:
        """Rolls the transaction back. Keeps the prepared statements, unless the transaction failed.

        The driver's own `rollback` drops all prepared statements, because after an error the driver may believe in one
        that the server does not have. Without an error this cannot happen.
        """
        if self.info.transaction_status != TransactionStatus.INTRANS:
            await self.rollback()
            return
        threshold, self.prepare_threshold = self.prepare_threshold, None  # else the driver drops them at any ROLLBACK
        try:
            await self.execute("ROLLBACK")
        finally:
            self.prepare_threshold = threshold

    async def start_anew(self) -> None:
        """Restores a known state after an error.

        Rolls back, drops the prepared statements of driver and server, and probes the server with a number that it must
        return. Raises OutOfStep when the answer is not this number or the connection is in pipeline mode, and
        psycopg.Error when there is no answer.
        """
        if self.pgconn.pipeline_status != PipelineStatus.OFF:
            raise OutOfStep("the connection is in pipeline mode")
        if self.info.transaction_status == TransactionStatus.IDLE:
            await self.execute("BEGIN")  # the driver drops its prepared statements only when it rolls something back
        await self.rollback()
        number = next(self._proofs)
        row = await (await self.execute("SELECT $1", (number,))).fetchone()
        if row != (number,):
            raise OutOfStep("the answer is to another question")


def _cause(error: psycopg.Error) -> psycopg.Error:
    """Returns the error of the failed statement when `error` only says that a later one was skipped, else `error`."""
    while isinstance(error, PipelineAborted) and isinstance(error.__context__, psycopg.Error):
        error = error.__context__
    return error
