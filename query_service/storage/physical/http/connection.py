"""Sends requests over one connection, one after the other. Each has its answer before the next is sent."""

from __future__ import annotations

import asyncio
from typing import cast

from query_service.storage.physical.http.answers import AnswerReader, HttpAnswer
from query_service.storage.physical.http.errors import ConnectionEnded, NoAnswer

#: A body up to this size is sent together with the head, which copies it but saves a call of the system.
JOINED_BYTES = 65_536


class Connection(asyncio.Protocol):
    """A connection. `usable`: it is open, carries no request, and can carry one. `late` says that time is over."""

    def __init__(self, late: str) -> None:
        loop = asyncio.get_running_loop()
        self.usable = self._aborted = False
        #: When its last answer arrived, in the loop's seconds.
        self.idle_since = 0.0
        #: Done when the connection has ended.
        self.ended: asyncio.Future[None] = loop.create_future()
        self._loop, self._reader, self._late = loop, AnswerReader(), late
        self._timer: asyncio.TimerHandle | None = None
        self._answer: asyncio.Future[HttpAnswer] | None = None
        self._transport: asyncio.Transport

    def send(self, head: bytes, body: bytes, deadline: float) -> asyncio.Future[HttpAnswer]:
        """Sends a request. The future gets its answer, or raises NoAnswer, at the latest at `deadline`.

        The deadline is a time of the loop. Cancel the future only together with `abort`.
        """
        assert self.usable, "the connection is in use or closed"
        self.usable = False
        answer = self._answer = self._loop.create_future()
        self._timer = self._loop.call_at(deadline, self._expire)
        if len(body) <= JOINED_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)
        return answer

    def abort(self) -> None:
        """Closes the connection at once. A request under way gets no answer."""
        self.usable, self._aborted = False, True
        self._stop_timer()
        self._transport.abort()

    # The loop calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport, self.usable = cast("asyncio.Transport", transport), True

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol. Bytes that no request asked for end the connection: a later request must not get them
        as its answer."""
        if self._answer is None:
            self.abort()
            return
        try:
            answer = self._reader.feed(data)
        except NoAnswer as error:
            self._fail(error)
            self.abort()
            return
        if answer is not None:
            self._succeed(answer)

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio.Protocol."""
        self.usable = False
        if self._answer is not None:
            try:
                reason = "the server closed the connection" if error is None else str(error)
                self._succeed(self._reader.end(reason, cut=error is not None or self._aborted))
            except NoAnswer as no_answer:
                self._fail(no_answer)
        if not self.ended.done():
            self.ended.set_result(None)

    def _succeed(self, answer: HttpAnswer) -> None:
        waiting, self._answer = self._answer, None
        assert waiting is not None
        self._stop_timer()
        if waiting.done():  # cancelled
            self.abort()
            return
        self.idle_since = self._loop.time()
        # An answer that came before the whole request was sent leaves the rest of the request on the way.
        self.usable = answer.keep and not self._transport.is_closing() and not self._transport.get_write_buffer_size()
        if not self.usable:
            self.abort()
        waiting.set_result(answer)

    def _expire(self) -> None:
        self._fail(NoAnswer(self._late))
        self.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fail(self, error: NoAnswer) -> None:
        waiting, self._answer = self._answer, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)


def untouched(error: NoAnswer) -> bool:
    """Returns whether the connection ended before the first byte of the answer."""
    return isinstance(error, ConnectionEnded) and error.untouched
