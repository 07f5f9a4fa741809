"""Reads the stream's last cursor and how full the stream is, for the lag measurement."""

from __future__ import annotations

from contextlib import AsyncExitStack

from relay.events.cursor import HEADER, Cursor, CursorError
from relay.events.errors import Refused
from relay.stream.jetstream_api import JetStreamApi, StreamApiError
from relay.stream.nats_connection import NATS_ERRORS, NatsConnection, NatsOptions
from relay.stream.position import BarrierGone, cursor_of
from service_runtime.error_text import in_one_line


class StreamEnd:
    """The end of the stream, as it was last read over a connection of its own.

    `cursor` and `sequence` are those of the last message: None and 0 until one was read. `used_ratio` is the stream's
    bytes divided by its limit. If a read fails, the last values stay; they are lower bounds then. If the stream has no
    more the barrier that a new last message names, `cursor` is None and `orphaned` is true.
    """

    def __init__(self, options: NatsOptions, stream: str) -> None:
        self._options = options
        self._stream = stream
        self._connection: NatsConnection | None = None
        self._ends = AsyncExitStack()
        self.cursor: Cursor | None = None
        self.orphaned = False
        self.sequence = 0
        self.used_ratio = 0.0

    async def read(self) -> str | None:
        """Reads the end again. Returns None, or one line that says why that was not possible."""
        try:
            if self._connection is None:
                self._connection = await NatsConnection.open(self._options, "tandem-relay lag")
                self._ends.push_async_callback(self._connection.end)
            return await self._read(JetStreamApi(self._connection))
        except (Refused, StreamApiError, CursorError, *NATS_ERRORS) as error:
            await self.close()
            return in_one_line(error)

    async def close(self) -> None:
        """Ends the connection."""
        ends, self._ends, self._connection = self._ends, AsyncExitStack(), None
        await ends.aclose()

    async def _read(self, api: JetStreamApi) -> str | None:
        info = await api.stream_info(self._stream)
        if info is None:
            return None
        self.used_ratio = info.used_ratio
        message = await api.last_message(self._stream)
        if message is None or HEADER not in message.headers:
            return None
        try:
            self.cursor, self.orphaned = await cursor_of(api, self._stream, message), False
        except BarrierGone as gone:
            if message.sequence != self.sequence:  # else its cursor was read while the stream had the barrier
                self.cursor, self.orphaned = None, True
            if self.orphaned:
                self.sequence = message.sequence
                return f"the lag is not known until a relay publishes: {gone}"
        self.sequence = message.sequence
        return None
