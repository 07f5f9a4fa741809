"""Runs one unit of work on a connection, and leaves the connection in a known state or closed.

Nobody interrupts the driver. Otherwise it could stop between two steps that belong together: in pipeline mode without
knowing it, or sure of a prepared statement that the server never saw. So each round trip is a task of its own. A caller
who leaves does not stop that task. The server is asked to cancel its work, and only when the driver has read every
answer does anything else use the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Sequence
from typing import TypeVar

import psycopg
import structlog
from psycopg import AsyncCursor

from command_service.storage.command_connection import CommandConnection, OutOfStep, Row, Statement
from service_runtime.countdown import Countdown

T = TypeVar("T")
_log = structlog.get_logger(__name__)

#: What is under way usually ends within this time; asking the server to end it costs it a connection.
GRACE_SECONDS = 0.1
#: A server asked to end a statement does it within this time, or its connection is given up.
CANCEL_SECONDS = 2.0


class Conversation:
    """The use of one connection by one unit of work."""

    def __init__(self, connection: CommandConnection, answer_seconds: float) -> None:
        """Prepares a conversation. A round trip without an answer for `answer_seconds` breaks the connection."""
        self.connection = connection
        self._answer_seconds = answer_seconds
        self._trip: asyncio.Task[AsyncCursor[Row]] | None = None
        self._to_the_end = self._failed = False

    async def run(self, batch: Sequence[Statement], *, to_the_end: bool = False) -> AsyncCursor[Row]:
        """Sends the statements together and returns the last one's cursor. Read it before the conversation ends.

        A caller who is cancelled meanwhile leaves at once. The work is then cancelled, unless it runs `to_the_end`.
        Raises psycopg.Error.
        """
        if self._trip is not None and not self._trip.done():
            raise OutOfStep("the answer to what was sent before is still to come")
        self._to_the_end = to_the_end
        self._trip = asyncio.ensure_future(self._within_time(self.connection.run(batch)))
        return await asyncio.shield(self._trip)

    @property
    def at_rest(self) -> bool:
        """Whether every answer was read, none was an error, and no transaction is open."""
        return (self._trip is None or self._trip.done()) and not self._failed and self.connection.idle

    @property
    def goes_on(self) -> bool:
        """Whether the last round trip continues to its end without its caller."""
        return self._to_the_end

    async def end(self) -> None:
        """Leaves the connection in a known state or closed. Never cancel this."""
        try:
            if not self.at_rest:
                await self._come_to_rest()
        except BaseException as error:
            if not self.connection.closed:
                _log.warning("connection closed, its state is not known", error=type(error).__name__)
            await self.close()
            if not isinstance(error, psycopg.Error | OutOfStep):
                raise

    async def close(self) -> None:
        """Closes the connection without waiting for the server."""
        self.hang_up()
        if self._trip is not None:
            await _over(self._trip)
        await self.connection.close()

    def hang_up(self) -> None:
        """Shuts the connection's socket, so that a task waiting for it finds it broken."""
        with contextlib.suppress(OSError, psycopg.Error):
            line = socket.socket(fileno=os.dup(self.connection.fileno()))
            with line:
                line.shutdown(socket.SHUT_RDWR)

    async def _within_time(self, answer: Awaitable[T]) -> T:
        # A server ends a statement that takes too long. A server, or a way to it, that has fallen silent ends nothing.
        silence = Countdown(self._answer_seconds, self.hang_up)
        try:
            return await answer
        except BaseException:
            self._failed = True
            raise
        finally:
            silence.cancel()

    async def _come_to_rest(self) -> None:
        if self._trip is not None:
            await self._last_answer(self._trip)
        if self.connection.closed:
            return
        # Without an error, what the driver takes for prepared is prepared.
        resting = self.connection.start_anew() if self._failed else self.connection.end_transaction()
        await self._within_time(resting)
        if not self.connection.idle:
            raise OutOfStep("the connection is not idle")

    async def _last_answer(self, trip: asyncio.Task[AsyncCursor[Row]]) -> None:
        if not self._to_the_end:
            await asyncio.wait({trip}, timeout=GRACE_SECONDS)
            if not trip.done():
                # A request to cancel may strike late, so nothing is taken for granted. One that did not get through
                # raises: it might strike whatever is being done by then.
                self._failed = True
                await self.connection.cancel_safe(timeout=CANCEL_SECONDS)
                await asyncio.wait({trip}, timeout=CANCEL_SECONDS)
                if not trip.done():
                    raise OutOfStep("the server does not end what it was asked to end")
        await _over(trip)
        if trip.cancelled():
            raise OutOfStep("the driver was interrupted")


async def _over(trip: asyncio.Task[AsyncCursor[Row]]) -> None:
    """Waits for the task's end and drops its error, which was meant for a caller who may have left."""
    await asyncio.wait({trip})
    if not trip.cancelled():
        trip.exception()
