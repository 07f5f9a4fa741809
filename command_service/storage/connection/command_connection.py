"""Runs batches of statements on one database connection, each batch in one round trip."""

from __future__ import annotations

import asyncio
import itertools
import select
from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection
from psycopg.pq import PipelineStatus, TransactionStatus

from command_service.storage.connection.message_writer import MessageWriter, Statement
from command_service.storage.connection.round_trip import Answer, OutOfStep, RoundTrip, Row


class CommandConnection(AsyncConnection[Row]):
    """A connection for a small set of statements that run again and again.

    The server prepares each text at its first use. The connection keeps the driver's objects that write and read
    values, and knows which statements are prepared.
    """

    #: Numbers for the probes of `start_anew`. No two probes of this process, on any connection, use the same number.
    _proofs = itertools.count()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.prepare_threshold = None  # the driver must not rely on prepared statements that this class drops
        self.writer = MessageWriter(self)

    async def run(self, batch: Sequence[Statement]) -> Answer:
        """Sends the statements together and returns the last one's answer. After an error the server skips the rest.

        Raises psycopg.Error for the first statement that failed. If the caller is cancelled, the round trip goes on.
        """
        return await self._answer(RoundTrip(self.pgconn, self.writer, batch))

    async def _answer(self, trip: RoundTrip) -> Answer:
        await trip.over
        return trip.answer

    async def close(self) -> None:
        """Closes the connection. The event loop forgets the socket first, because the next one may get its number."""
        if not self.closed:
            loop, socket = asyncio.get_running_loop(), self.fileno()
            loop.remove_reader(socket)
            loop.remove_writer(socket)
        await super().close()

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
        """Rolls back the transaction, if one is open. Prepared statements stay, because no statement has failed."""
        if self.pgconn.transaction_status != TransactionStatus.IDLE:
            await self.run([("ROLLBACK", ())])

    async def start_anew(self) -> None:
        """Restores a known state after an error.

        Rolls back, drops the prepared statements, and probes the server with a number that it must return. Raises
        OutOfStep when the answer is not this number or the connection is in pipeline mode, and psycopg.Error when there
        is no answer.
        """
        number = next(self._proofs)
        batch: list[Statement] = [("DEALLOCATE ALL", ()), ("SELECT $1", (number,))]
        if self.pgconn.transaction_status != TransactionStatus.IDLE:
            batch.insert(0, ("ROLLBACK", ()))
        self.writer.forget()
        answer = await self._answer(RoundTrip(self.pgconn, self.writer, batch, prepare=False))
        if answer.row() != (number,):
            raise OutOfStep("the answer is to another question")
