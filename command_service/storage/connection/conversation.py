"""Runs one unit of work on a connection, and afterwards leaves the connection in a known state or closed.

A round trip is never interrupted: the event loop reads its answers, and a caller who is cancelled only stops waiting.
Instead the server is asked to cancel the statement. The connection is not used again before every answer was read.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence

import psycopg
import structlog

from command_service.storage.connection.command_connection import CommandConnection
from command_service.storage.connection.message_writer import Statement
from command_service.storage.connection.round_trip import Answer, OutOfStep, RoundTrip
from service_runtime.countdown import Countdown

_log = structlog.get_logger(__name__)

#: How long an abandoned round trip may still run before the server is asked to cancel it. Most end within this time,
#: and each request to cancel costs the server a connection.
GRACE_SECONDS = 0.1
#: If the server has not ended the statement this long after the request to cancel, the connection is closed.
CANCEL_SECONDS = 2.0


class Conversation:
    """The exclusive use of one connection by one unit of work, from when the pool lends it until it is returned.

    It runs round trips, cancels those whose caller has left, and at its end rolls back what was not committed.
    """

    def __init__(self, connection: CommandConnection, answer_seconds: float) -> None:
        """Takes the connection, and breaks it if the server leaves a round trip unanswered for `answer_seconds`."""
        self.connection = connection
        self._answer_seconds = answer_seconds
        self._trip: RoundTrip | None = None
        self._to_the_end = self._failed = False

    async def run(self, batch: Sequence[Statement], *, to_the_end: bool = False) -> Answer:
        """Sends the statements together and returns the last one's answer.

        If the caller is cancelled, this call ends at once. `end` then cancels the statements, or waits for them if
        `to_the_end` is true. Raises psycopg.Error, and OutOfStep while an earlier round trip still runs.
        """
        if self._trip is not None and not self._trip.ended:
            raise OutOfStep("the answer to what was sent before is still to come")
        self._failed = self.failed
        self._to_the_end = to_the_end
        # The server ends a statement that takes too long. This countdown is for a server or network that is silent.
        silence = Countdown(self._answer_seconds, self.hang_up)
        try:
            self._trip = RoundTrip(self.connection.pgconn, self.connection.writer, batch, silence.cancel)
        except BaseException:  # nothing was sent
            silence.cancel()
            raise
        trip = self._trip
        await trip.over
        return trip.answer

    @property
    def failed(self) -> bool:
        """Whether a round trip has failed, or the server was asked to cancel one."""
        return self._failed or (self._trip is not None and self._trip.error is not None)

    @property
    def at_rest(self) -> bool:
        """Whether the connection can be lent again: every answer was read, none an error, no transaction is open."""
        return (self._trip is None or self._trip.ended) and not self.failed and self.connection.idle

    @property
    def goes_on(self) -> bool:
        """Whether the last round trip runs to its end even if its caller is cancelled."""
        return self._to_the_end

    async def end(self) -> None:
        """Rolls back what was not committed. Leaves the connection in a known state or closed. Never cancel this."""
        try:
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
            await self._trip.over
        await self.connection.close()

    def hang_up(self) -> None:
        """Shuts down the connection's socket, so that a task waiting for an answer gets an error at once."""
        with contextlib.suppress(OSError, psycopg.Error):
            line = socket.socket(fileno=self.connection.fileno())
            try:
                line.shutdown(socket.SHUT_RDWR)
            finally:
                line.detach()  # the socket stays the connection's

    async def _come_to_rest(self) -> None:
        if self._trip is not None:
            await self._last_answer(self._trip)
        if self.connection.closed:
            return
        silence = Countdown(self._answer_seconds, self.hang_up)
        try:
            # Without an error, everything is prepared that the connection believes to be prepared, and is kept.
            await (self.connection.start_anew() if self.failed else self.connection.end_transaction())
        finally:
            silence.cancel()
        if not self.connection.idle:
            raise OutOfStep("the connection is not idle")

    async def _last_answer(self, trip: RoundTrip) -> None:
        if not self._to_the_end and not await _over_within(GRACE_SECONDS, trip):
            # The server may act late on a request to cancel, so the connection counts as failed. If the request cannot
            # be delivered, `cancel_safe` raises, and the connection is closed: a request that arrives late could cancel
            # other work.
            self._failed = True
            await self.connection.cancel_safe(timeout=CANCEL_SECONDS)
            if not await _over_within(CANCEL_SECONDS, trip):
                raise OutOfStep("the server does not end what it was asked to end")
        await trip.over


async def _over_within(seconds: float, trip: RoundTrip) -> bool:
    """Waits at most so long for the end of the round trip, and returns whether it has ended."""
    await asyncio.wait({trip.over}, timeout=seconds)
    return trip.ended
