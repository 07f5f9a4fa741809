"""Sends a batch of statements to PostgreSQL at once, and reads the answers as they come: one round trip.

The driver's own pipeline sends each statement alone, so the server wakes up for each. Here all statements of a batch
are queued in libpq and sent together. Connecting, types and errors stay the driver's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg.abc import Transformer
from psycopg.errors import PipelineAborted, error_from_result
from psycopg.pq import DiagnosticField, ExecStatus
from psycopg.pq.abc import PGconn, PGresult

#: A result's row.
Row = tuple[Any, ...]
#: SQL with `$1` placeholders, and a value for each.
Statement = tuple[str, Sequence[Any]]
_SUCCESSES = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK, ExecStatus.EMPTY_QUERY)
#: An SQL text and the types of its values. The server prepares each pair once per connection.
Key = tuple[str, tuple[int, ...]]


class OutOfStep(Exception):  # noqa: N818 - says what happened
    """The known state of the connection may be wrong, so the connection must not be used again."""


class Message(NamedTuple):
    """A statement with its values as they are sent. Without a `name` it is not prepared."""

    key: Key
    name: bytes
    values: Sequence[Any]
    formats: Sequence[int] | None


class Answer:
    """The server's answer to a statement. The values of its rows are converted when they are asked for."""

    __slots__ = ("_result", "_transformer")

    def __init__(self, result: PGresult, transformer: Transformer) -> None:
        self._result, self._transformer = result, transformer

    def rows(self) -> list[Row]:
        """Returns all rows; none if the statement returns no rows."""
        self._transformer.set_pgresult(self._result)
        return self._transformer.load_rows(0, self._result.ntuples, tuple)

    def row(self) -> Row | None:
        """Returns the first row, or None if there is none."""
        if self._result.ntuples == 0:
            return None
        self._transformer.set_pgresult(self._result)
        return self._transformer.load_row(0, tuple)

    @property
    def count(self) -> int | None:
        """The number of rows that the statement changed or returned, or None if the server named no number."""
        return self._result.command_tuples

    @property
    def status(self) -> str:
        """What the server says that it did, for example `COMMIT`."""
        return (self._result.command_status or b"").decode()


class RoundTrip:
    """Statements on their way: sent when this object is made, and answered some time later.

    The event loop reads the answers. Callers only wait for the end, so a caller who is cancelled interrupts nothing.
    """

    def __init__(
        self,
        pgconn: PGconn,
        batch: Sequence[Message],
        prepared: set[Key],
        values: Transformer,
        on_end: Callable[[], object],
    ) -> None:
        """Sends the batch. Adds to `prepared` what the server has prepared. `values` converts the answer.

        `on_end` is called once, when all answers were read or the connection is lost.
        """
        self._pgconn, self._prepared, self._values, self._on_end = pgconn, prepared, values, on_end
        self._loop = asyncio.get_running_loop()
        #: What each awaited answer is about, in the order of sending: the statement prepared, or None for one executed.
        self._awaited: deque[Key | None] = deque()
        self._waiters: list[asyncio.Future[None]] = []
        self._last: PGresult | None = None
        self._fileno, self._unsent = -1, False
        self.ended = False
        #: What `answer` raises.
        self.error: Exception | None = None
        try:
            self._send(batch)
        except psycopg.Error as error:
            self._end(error)

    async def answer(self) -> Answer:
        """Waits for the end, and returns the answer to the last statement.

        Raises the error of the first statement that failed, and psycopg.OperationalError if the connection is lost.
        """
        if not self.ended:
            await self.over()
        if self.error is not None:
            raise self.error
        assert self._last is not None
        return Answer(self._last, self._values)

    async def over(self) -> None:
        """Waits for the end, whatever it is."""
        if not self.ended:
            self._waiters.append(waiter := self._loop.create_future())
            await waiter

    def _send(self, batch: Sequence[Message]) -> None:
        self._pgconn.enter_pipeline_mode()
        for message in batch:
            key, name, values, formats = message
            sql, types = key
            if not name:
                self._pgconn.send_query_params(sql.encode(), values, types, formats)
            else:
                if key not in self._prepared and key not in self._awaited:
                    self._pgconn.send_prepare(name, sql.encode(), types)
                    self._awaited.append(key)
                self._pgconn.send_query_prepared(name, values, formats)
            self._awaited.append(None)
        self._pgconn.pipeline_sync()
        self._awaited.append(None)  # a statement outside of a transaction is committed here, which can fail
        self._fileno, self._unsent = self._pgconn.socket, self._pgconn.flush() != 0
        self._loop.add_reader(self._fileno, self._go_on)
        if self._unsent:  # the socket is full
            self._loop.add_writer(self._fileno, self._go_on)

    def _go_on(self) -> None:
        """Sends and reads what the socket allows. It does both, as a server that cannot send does not read either."""
        try:
            if self._unsent and self._pgconn.flush() == 0:
                self._unsent = False
                self._loop.remove_writer(self._fileno)
            self._pgconn.consume_input()
            none_before = False  # each statement's result is followed by a None
            while not (self.ended or self._pgconn.is_busy()):
                result = self._pgconn.get_result()
                if result is not None:
                    self._take(result)
                elif none_before:
                    raise psycopg.OperationalError("the connection to the server is lost")
                none_before = result is None
        except (psycopg.Error, OutOfStep) as error:
            self._end(error)

    def _take(self, result: PGresult) -> None:
        status = result.status
        if status == ExecStatus.PIPELINE_SYNC and len(self._awaited) <= 1:
            self._pgconn.exit_pipeline_mode()
            self._end(None)
            return
        prepared = self._awaited.popleft() if self._awaited else None
        if status in _SUCCESSES:
            if prepared is None:
                self._last = result
            else:
                self._prepared.add(prepared)
        elif status == ExecStatus.FATAL_ERROR:
            self.error = self.error or _error_of(result)
        elif status == ExecStatus.PIPELINE_ABORTED:  # skipped after an error
            self.error = self.error or PipelineAborted("the server skipped a statement")
        else:
            raise OutOfStep(f"the server answered {ExecStatus(status).name}")

    def _end(self, error: Exception | None) -> None:
        """Ends the round trip. An error leaves the connection in pipeline mode, so that it is not used again."""
        if self._fileno >= 0:
            self._loop.remove_reader(self._fileno)
        if self._unsent:
            self._loop.remove_writer(self._fileno)
        # An error that the server sent before it ended the session says more than the end of the session.
        self.error, self.ended = self.error or error, True
        self._on_end()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)


def _error_of(result: PGresult) -> psycopg.Error:
    if result.error_field(DiagnosticField.SQLSTATE) is None:  # libpq's own: the connection is lost
        return psycopg.OperationalError(result.get_error_message())
    return error_from_result(result)
