"""Runs the same few statements again and again on one connection, a batch of them in one round trip."""

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
    """The driver's idea of the connection's state may be wrong."""


class CommandConnection(AsyncConnection[Row]):
    """Keeps a cursor per statement, so the driver works out only once how to write and read its values."""

    #: Each proof asks for a number of its own, over all connections.
    _proofs = itertools.count()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._cursors: defaultdict[str, AsyncCursor[Row]] = defaultdict(lambda: self.cursor())

    async def run(self, batch: Sequence[Statement]) -> AsyncCursor[Row]:
        """Sends the statements together and returns the last one's cursor. The server skips the rest after an error.

        Use few different statements. A result stays in its cursor until the statement runs again. Raises psycopg.Error,
        the first one.
        """
        first: psycopg.Error | None = None
        try:
            async with self.pipeline():
                try:
                    cursors = [await self._cursors[sql].execute(sql, values or None) for sql, values in batch]
                except psycopg.Error as error:  # kept from the pipeline, which would log what it still has to read
                    first = error
        except psycopg.Error as error:
            first = first or _cause(error)
        if first is not None:
            raise first
        return cursors[-1]

    @property
    def idle(self) -> bool:
        """Whether the connection is outside a transaction and awaits no answer."""
        return (
            self.pgconn.transaction_status == TransactionStatus.IDLE
            and self.pgconn.pipeline_status == PipelineStatus.OFF
        )

    @property
    def spoken_to(self) -> bool:
        """Whether the server has sent something unasked. On an idle connection that means the session ended."""
        if self.closed:
            return True
        arrivals = select.poll()
        arrivals.register(self.fileno(), select.POLLIN)
        return bool(arrivals.poll(0))

    async def end_transaction(self) -> None:
        """Rolls back and keeps the server's prepared statements.

        The driver's own `rollback` drops all of them, because after an error one may not be prepared although the
        driver believes so. Without an error that cannot be.
        """
        if self.info.transaction_status != TransactionStatus.INTRANS:
            await self.rollback()
            return
        threshold, self.prepare_threshold = self.prepare_threshold, None  # otherwise a ROLLBACK drops them as well
        try:
            await self.execute("ROLLBACK")
        finally:
            self.prepare_threshold = threshold

    async def start_anew(self) -> None:
        """Restores a known state after an error.

        Rolls back, drops prepared statements on both sides, and probes the server. Raises OutOfStep when the answer
        belongs to another probe, psycopg.Error when there is none.
        """
        if self.pgconn.pipeline_status != PipelineStatus.OFF:
            raise OutOfStep("the connection is in pipeline mode")
        if self.info.transaction_status == TransactionStatus.IDLE:
            await self.execute("BEGIN")  # the driver forgets by a rollback alone, and rolls nothing back without this
        await self.rollback()
        number = next(self._proofs)
        row = await (await self.execute("SELECT $1", (number,))).fetchone()
        if row != (number,):
            raise OutOfStep("the answer is to another question")


def _cause(error: psycopg.Error) -> psycopg.Error:
    """Returns the error after which the batch was skipped, if `error` only reports the skipping."""
    while isinstance(error, PipelineAborted) and isinstance(error.__context__, psycopg.Error):
        error = error.__context__
    return error
