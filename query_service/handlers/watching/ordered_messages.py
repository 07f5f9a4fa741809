"""Reads the stream in order from any place, each message once, over restarts of NATS and lost connections.

Each reader has an ephemeral consumer without acks. The server numbers what it delivers. When a number is missing, or
the consumer is gone, the reader makes another consumer that begins after the last message it has yielded.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping

from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from query_service.application.ports.change_stream import Message, StreamBounds
from query_service.application.ports.errors import DependencyDown, ResumeTokenExpired
from query_service.handlers.nats_connection import NATS_ERRORS, NatsConnection, header_fields
from query_service.handlers.stream.consumer import first_sequence, microseconds_of
from query_service.handlers.stream.messages import StreamLookUp
from service_runtime.error_text import in_one_line

#: How many messages one request asks for, for how long, and how much later its answer counts as lost.
BATCH, PULL_SECONDS, GRACE_SECONDS = 256, 5.0, 1.0
RETRY_SECONDS = 0.25
#: How long the server keeps a consumer that nobody uses.
IDLE_SECONDS = 30.0
Connected = Callable[[], NatsConnection | None]


class ReceivedMessage:
    """A message as it was received. Its headers are parsed when they are first read."""

    __slots__ = ("_block", "_headers", "body", "sequence")

    def __init__(self, sequence: int, block: bytes | None, body: bytes) -> None:
        self.sequence, self._block, self.body = sequence, block, body
        self._headers: Mapping[str, str] | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        """See Message."""
        if self._headers is None:
            self._headers = header_fields(self._block)
        return self._headers


class _KeptMessage:
    """A message that was looked up."""

    def __init__(self, sequence: int, headers: Mapping[str, str], body: bytes) -> None:
        self.sequence, self.headers, self.body = sequence, headers, body


class OrderedMessages:
    """Implements ChangeStream for one stream, over the connection that `connected` returns, if any."""

    def __init__(self, stream: str, connected: Connected) -> None:
        self._stream, self._connected = stream, connected

    async def bounds(self) -> StreamBounds:
        """See ChangeStream."""
        try:
            return await self._bounds(self._connection())
        except (NotFoundError, *NATS_ERRORS) as error:
            raise DependencyDown("nats", in_one_line(error)) from None

    async def message(self, sequence: int) -> Message | None:
        """See ChangeStream."""
        found = await StreamLookUp(self._connection()).message(self._stream, sequence)
        return None if found is None else _KeptMessage(sequence, found.headers, found.body)

    async def after(self, sequence: int, created_at: int) -> AsyncGenerator[Message, None]:
        """See ChangeStream."""
        while True:
            try:
                async with contextlib.aclosing(self._by_one_consumer(sequence, created_at)) as messages:
                    async for message in messages:
                        if message.sequence > sequence + 1:
                            await self._check(self._connection(), sequence, created_at)
                        sequence = message.sequence
                        yield message
            except (DependencyDown, NotFoundError, *NATS_ERRORS):
                pass
            await asyncio.sleep(RETRY_SECONDS)

    async def _by_one_consumer(self, sequence: int, created_at: int) -> AsyncGenerator[Message, None]:
        """Yields messages until the consumer, or a message of it, is lost. Raises one of NATS_ERRORS."""
        connection = self._connection()
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=sequence + 1,
            ack_policy=AckPolicy.NONE,
            inactive_threshold=IDLE_SECONDS,
            mem_storage=True,
            num_replicas=1,
        )
        name = (await connection.jetstream().add_consumer(self._stream, config)).name
        pull = _Pull(connection, f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{name}")
        try:
            await self._check(connection, sequence, created_at)
            async with contextlib.aclosing(pull.messages()) as messages:
                async for message in messages:
                    yield message
        finally:
            with contextlib.suppress(NotFoundError, *NATS_ERRORS):
                if connection.is_connected:
                    await connection.jetstream(timeout=1).delete_consumer(self._stream, name)

    async def _check(self, connection: NatsConnection, sequence: int, created_at: int) -> None:
        """Raises ResumeTokenExpired unless the stream has what comes after `sequence`."""
        bounds = await self._bounds(connection)
        if bounds.created_at != created_at:
            raise ResumeTokenExpired("the stream was replaced; read a list, and watch from its resume token")
        if bounds.first > sequence + 1:
            raise ResumeTokenExpired(
                "the stream no longer has the next changes; read a list, and watch from its resume token"
            )

    async def _bounds(self, connection: NatsConnection) -> StreamBounds:
        info = await connection.jetstream().stream_info(self._stream)
        return StreamBounds(microseconds_of(info.created), first_sequence(info), info.state.last_seq)

    def _connection(self) -> NatsConnection:
        if (connection := self._connected()) is None:
            raise DependencyDown("nats", "not connected")
        return connection


class _Pull:
    """Pulls what one consumer delivers. `subject` is that of its requests."""

    def __init__(self, connection: NatsConnection, subject: str) -> None:
        self._connection, self._subject = connection, subject
        self._received: deque[ReceivedMessage] = deque()
        self._arrived = asyncio.Event()
        self._delivered = 0
        self._expected = 0
        self._lost = False

    async def messages(self) -> AsyncGenerator[Message, None]:
        """Yields messages in order. Ends when one is missing, or the consumer does not answer."""
        inbox = self._connection.new_inbox()
        subscription = await self._connection.receive(inbox, self._on_message)
        try:
            while not self._lost and self._connection.is_connected:
                self._expected = BATCH
                body = {"batch": BATCH, "expires": int(PULL_SECONDS * 1e9)}
                await self._connection.publish(self._subject, json.dumps(body).encode(), reply=inbox)
                while self._received or (self._expected > 0 and not self._lost):
                    if not self._received:
                        self._arrived.clear()
                        async with asyncio.timeout(PULL_SECONDS + GRACE_SECONDS):
                            await self._arrived.wait()
                    while self._received:
                        yield self._received.popleft()
        finally:
            with contextlib.suppress(*NATS_ERRORS):
                await subscription.unsubscribe()

    def _on_message(self, reply: str, block: bytes | None, body: bytes) -> None:
        self._arrived.set()
        if self._lost:
            return
        if not reply.startswith("$JS.ACK."):
            self._on_status(header_fields(block).get("Status", ""))
            return
        sequence, delivered = _places(reply)
        if delivered != self._delivered + 1:
            self._lost = True
            return
        self._delivered = delivered
        self._expected -= 1
        self._received.append(ReceivedMessage(sequence, block, body))

    def _on_status(self, status: str) -> None:
        if status == "408":  # the request has expired
            self._expected = 0
        elif status != "100":  # no heartbeat: the consumer is gone, or nobody answers
            self._lost = True


def _places(reply: str) -> tuple[int, int]:
    """Returns a delivered message's sequence in the stream, and among those that its consumer delivered."""
    # See `sequence_and_time` for the forms of the reply subject.
    tokens = reply.split(".")
    first = 2 if len(tokens) == 9 else 4
    return int(tokens[first + 3]), int(tokens[first + 4])
