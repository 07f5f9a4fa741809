"""Sends a batch of statements to PostgreSQL at once, and reads the answers as they come: one round trip.

The driver's own pipeline sends each statement alone, so the server wakes up for each. Here all statements of a batch
are queued in libpq and sent together. Connecting, types and errors stay the driver's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg.abc import Transformer
from psycopg.errors import PipelineAborted, error_from_result
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus, PipelineStatus
from psycopg.pq.abc import PGconn, PGresult

from command_service.storage.connection.message_writer import Key, MessageWriter, Statement

#: A result's row.
Row = tuple[Any, ...]
# Plain numbers, because to look up and to compare members of an enum takes longer than all else about a result.
_SUCCESSES = frozenset(map(int, (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK, ExecStatus.EMPTY_QUERY)))
_SYNC, _ERROR, _SKIPPED = (
    int(status) for status in (ExecStatus.PIPELINE_SYNC, ExecStatus.FATAL_ERROR, ExecStatus.PIPELINE_ABORTED)
)


class OutOfStep(Exception):  # noqa: N818 - says what happened
    """The known state of the connection may be wrong, so the connection must not be used again."""


class Answer:
    """The server's answer to a statement. The values of its rows are converted when they are asked for."""

    __slots__ = ("_result", "_results", "_transformer")

    def __init__(self, results: Sequence[PGresult], transformer: Transformer) -> None:
        """Takes the results of a batch up to that of the statement."""
        self._results, self._result, self._transformer = results, results[-1], transformer

    def before(self, places: int) -> Answer:
        """Returns the answer to the statement so many places before this one in the batch."""
        return Answer(self._results[: len(self._results) - places], self._transformer)

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


class _Ear:
    """What the event loop calls when a connection's socket has data.

    It stays registered after the end of its round trip, because to leave and to come back for the next one takes two
    calls of the kernel. Then it keeps nothing of the round trip alive, and leaves at the first data, which nobody has
    asked for. The pool looks for such data before it lends the connection.
    """

    __slots__ = ("_fileno", "_loop", "_on_data")

    def __init__(self, on_data: Callable[[], None], loop: asyncio.AbstractEventLoop, fileno: int) -> None:
        self._on_data: Callable[[], None] | None = on_data
        self._loop, self._fileno = loop, fileno

    def hear(self) -> None:
        if self._on_data is not None:
            self._on_data()
        else:
            self._loop.remove_reader(self._fileno)

    def close(self, *, at_once: bool) -> None:
        """Passes nothing on any more. `at_once`: the socket may be closed next, so the event loop forgets it now."""
        self._on_data = None
        if at_once:
            self._loop.remove_reader(self._fileno)


class RoundTrip:
    """Statements on their way: sent when this object is made, and answered some time later.

    The event loop reads the answers. Callers only wait for the end, so a caller who is cancelled interrupts nothing.
    """

    def __init__(
        self,
        pgconn: PGconn,
        writer: MessageWriter,
        batch: Sequence[Statement],
        on_end: Callable[[], object] = lambda: None,
        *,
        prepare: bool = True,
    ) -> None:
        """Sends the batch. With `prepare` the server prepares the statements that it has not prepared yet.

        `on_end` is called once, when all answers were read or the connection is lost. Raises psycopg.Error when a value
        cannot be written or the connection is closed, and OutOfStep while an earlier round trip runs or was given up.
        Nothing is sent then.
        """
        if pgconn.status != ConnStatus.OK:
            raise psycopg.OperationalError("the connection is closed")
        if pgconn.pipeline_status != PipelineStatus.OFF:
            raise OutOfStep("the connection is in pipeline mode")
        messages = [writer.of(statement) if prepare else writer.unprepared(statement) for statement in batch]
        self._pgconn, self._writer, self._on_end = pgconn, writer, on_end
        self._loop = asyncio.get_running_loop()
        #: What each awaited answer is about, in the order of sending: the statement prepared, or None for one executed.
        self._awaited: deque[Key | None] = deque()
        self._waiters: list[asyncio.Future[None]] = []
        #: The results of the executed statements so far, in the order of the batch.
        self._results: list[PGresult] = []
        self._fileno, self._unsent = pgconn.socket, False
        self._ear = _Ear(self._go_on, self._loop, self._fileno)
        self.ended = False
        #: What `answer` raises.
        self.error: Exception | None = None
        try:
            pgconn.enter_pipeline_mode()
            for key, name, values, formats in messages:
                sql, types = key
                if not name:
                    pgconn.send_query_params(sql.encode(), values, types, formats)
                else:
                    if key not in writer.prepared and key not in self._awaited:
                        pgconn.send_prepare(name, sql.encode(), types)
                        self._awaited.append(key)
                    pgconn.send_query_prepared(name, values, formats)
                self._awaited.append(None)
            pgconn.pipeline_sync()
            self._awaited.append(None)  # a statement outside of a transaction is committed here, which can fail
            self._unsent = pgconn.flush() != 0
            self._loop.add_reader(self._fileno, self._ear.hear)
            if self._unsent:  # the socket is full
                self._loop.add_writer(self._fileno, self._go_on)
        except psycopg.Error as error:
            self._end(error)

    @property
    def over(self) -> asyncio.Future[None]:
        """A future that is done when the round trip has ended, whatever the end. It may be cancelled."""
        future = self._loop.create_future()
        if self.ended:
            future.set_result(None)
        else:
            self._waiters.append(future)
        return future

    @property
    def answer(self) -> Answer:
        """The answer to the last statement, after the end.

        Raises the error of the first statement that failed, and psycopg.OperationalError if the connection is lost.
        """
        if self.error is not None:
            raise self.error
        return Answer(self._results, self._writer.values)

    def _go_on(self) -> None:
        """Sends and reads what the socket allows. It does both, as a server that cannot send does not read either."""
        try:
            if self._unsent and self._pgconn.flush() == 0:
                self._unsent = False
                self._loop.remove_writer(self._fileno)
            self._pgconn.consume_input()
            none_before = False  # each statement's result is followed by a None
            is_busy, next_result = self._pgconn.is_busy, self._pgconn.get_result
            while not (self.ended or is_busy()):
                result = next_result()
                if result is not None:
                    self._take(result)
                elif none_before:
                    raise psycopg.OperationalError("the connection to the server is lost")
                none_before = result is None
        except Exception as error:  # the event loop would only log it
            self._end(error)

    def _take(self, result: PGresult) -> None:
        status = result.status
        if status == _SYNC and len(self._awaited) <= 1:
            self._pgconn.exit_pipeline_mode()
            self._end(None)
            return
        if not self._awaited:
            raise OutOfStep("the server answered what was not asked")
        prepared = self._awaited.popleft()
        if status in _SUCCESSES:
            if prepared is None:
                self._results.append(result)
            else:
                self._writer.prepared.add(prepared)
        elif status == _ERROR:
            self.error = self.error or _error_of(result)
        elif status == _SKIPPED:  # skipped after an error
            self.error = self.error or PipelineAborted("the server skipped a statement")
        else:
            raise OutOfStep(f"the server answered {ExecStatus(status).name}")

    def _end(self, error: Exception | None) -> None:
        """Ends the round trip. An error leaves the connection in pipeline mode, so that it is not used again."""
        self._ear.close(at_once=error is not None)
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
