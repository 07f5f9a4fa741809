"""Reads what the stream holds: all messages, or those after a checkpoint where polling takes over from the log.

All messages after the last checkpoint carry the base of that checkpoint, or name a barrier that does. They are the last
messages of the stream, so the first of them is found by bisection.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping

from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import APIError

from relay.events.cursor import HEADER, CursorError, PassedOver, WalCursor, transaction_of
from relay.events.delivered import Delivered
from relay.events.errors import Closing, SessionClosed
from relay.events.id_set import IdSet
from relay.stream.jetstream_api import JetStreamApi, StreamApiError
from relay.stream.nats_connection import NATS_ERRORS, NatsConnection, NatsOptions
from relay.stream.position import BarrierGone, cursor_of
from service_runtime.error_text import in_one_line

POSITION_HEADER = "Tandem-Position"
_FETCH = 1_000
#: The longest wait for a chunk. Between two chunks, the caller can keep its database session alive.
_FETCH_SECONDS = 1.5
_MOST_WAITS = 6


class StreamHistory:
    """Reads the messages of one stream. Each method opens its own connection.

    Each raises SessionClosed if NATS cannot be reached or does not answer, Refused if our user lacks the right.
    """

    def __init__(self, options: NatsOptions, stream: str) -> None:
        self._options = options
        self._stream = stream

    async def passed_over(self, cursor: WalCursor) -> PassedOver:
        """Returns which events a poll from the checkpoint of `cursor` must skip, because the stream has them already.

        They are the events of the transactions that the checkpoint lists, and the events of all messages published
        after the checkpoint. Those messages are the last ones of the stream, from the first that has the checkpoint.
        If no message has it, the range of messages is empty.

        The stream's first messages may name a barrier that has aged out. If the first of all the others has the
        checkpoint, these may have it too. Then they are in the range: to skip what the stream has is never wrong.
        """
        async with self._connected() as connection:
            api = JetStreamApi(connection)
            info = await api.stream_info(self._stream)
            last = info.last_sequence if info is not None else 0
            below, first = 0, last + 1
            while first - below > 1:
                middle = (below + first) // 2
                if await self._carries(api, middle, last, cursor):
                    first = middle
                else:
                    below = middle
            if info is not None and info.first_sequence < first <= last and await self._is_orphan(api, first - 1):
                first = info.first_sequence
            return PassedOver(cursor.checkpoint.transactions, first, last)

    async def delivered(self, passed: PassedOver) -> Delivered:
        """Reads the messages of `passed` and returns the positions and transactions of their events."""
        positions, ids = IdSet(), IdSet(passed.transactions)
        if passed.first <= passed.last:
            async with self._connected() as connection:
                await self._read(connection, passed, positions, ids)
        return Delivered(frozenset(map(str, passed.transactions)), positions, ids)

    async def _carries(self, api: JetStreamApi, sequence: int, last: int, wanted: WalCursor) -> bool:
        """Returns whether the message at `sequence` carries the checkpoint of `wanted`.

        If that message is not ours, the next one of ours decides. True if none of ours follows up to `last`.
        """
        message = await api.message(self._stream, sequence)
        while message is not None and HEADER not in message.headers and sequence < last:
            sequence += 1
            message = await api.message(self._stream, sequence)
        if message is None:
            return False
        if HEADER not in message.headers:
            return True
        try:
            found = await cursor_of(api, self._stream, message)
        except CursorError:
            return False  # its barrier has aged out, so it is one of the stream's first messages
        if not isinstance(found, WalCursor):
            return False
        return (found.epoch, found.checkpoint) == (wanted.epoch, wanted.checkpoint)

    async def _is_orphan(self, api: JetStreamApi, sequence: int) -> bool:
        """Returns whether the message at `sequence` names a barrier that has aged out."""
        message = await api.message(self._stream, sequence)
        if message is None or HEADER not in message.headers:
            return False
        try:
            await cursor_of(api, self._stream, message)
        except BarrierGone:
            return True
        except CursorError:
            return False
        return False

    async def headers(self, first: int = 1) -> AsyncGenerator[list[tuple[int, Mapping[str, str]]]]:
        """Returns (sequence, headers) of the messages from `first` up to the present end of the stream, in chunks.

        A chunk is empty if no message arrived within 1.5 s.
        """
        async with self._connected() as connection:
            info = await JetStreamApi(connection).stream_info(self._stream)
            if info is None or not info.messages:
                return
            async with contextlib.aclosing(self._chunks(connection, first, info.last_sequence)) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def first_sequence(self) -> int:
        """Returns the sequence of the first message that the stream still has, or will have."""
        async with self._connected() as connection:
            info = await JetStreamApi(connection).stream_info(self._stream)
            return info.first_sequence if info is not None else 1

    async def _read(self, connection: NatsConnection, passed: PassedOver, positions: IdSet, ids: IdSet) -> None:
        async with contextlib.aclosing(self._chunks(connection, passed.first, passed.last)) as chunks:
            async for chunk in chunks:
                for _, headers in chunk:
                    position = headers.get(POSITION_HEADER, "")
                    if HEADER in headers and position.isdecimal():
                        positions.add(int(position))
                        transaction = transaction_of(headers[HEADER])
                        if transaction is not None:
                            ids.add(transaction)

    async def _chunks(
        self, connection: NatsConnection, first: int, last: int
    ) -> AsyncGenerator[list[tuple[int, Mapping[str, str]]]]:
        """Returns the messages from `first` to `last` in chunks. The message at `last` must exist.

        A chunk is empty if no message arrived within _FETCH_SECONDS. Raises TimeoutError after _MOST_WAITS such waits
        in a row.
        """
        subscription = await connection.jetstream().pull_subscribe(
            ">",
            stream=self._stream,
            config=ConsumerConfig(
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=max(1, first),
                ack_policy=AckPolicy.NONE,
                headers_only=True,
                mem_storage=True,
                inactive_threshold=30.0,
            ),
        )
        try:
            sequence, waits = first - 1, 0
            while sequence < last:
                try:
                    fetched = await subscription.fetch(_FETCH, timeout=_FETCH_SECONDS)
                    waits = 0
                except TimeoutError:
                    waits += 1
                    if waits == _MOST_WAITS:
                        raise
                    fetched = []
                chunk: list[tuple[int, Mapping[str, str]]] = []
                for message in fetched:
                    sequence = message.metadata.sequence.stream
                    if sequence <= last:
                        chunk.append((sequence, message.headers or {}))
                yield chunk
        finally:
            with contextlib.suppress(*NATS_ERRORS, APIError):
                await subscription.unsubscribe()

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[NatsConnection]:
        connection: NatsConnection | None = None
        try:
            connection = await NatsConnection.open(self._options, "tandem-relay history")
            yield connection
        except (*NATS_ERRORS, StreamApiError, APIError) as error:
            if connection is not None and connection.denial is not None:
                raise connection.denial from None
            reason = f"the end of the stream cannot be read: {in_one_line(error)}"
            raise SessionClosed(Closing.UNAVAILABLE, reason) from None
        finally:
            if connection is not None:
                await connection.end()
                await asyncio.sleep(0)  # lets the library's cancelled tasks finish
