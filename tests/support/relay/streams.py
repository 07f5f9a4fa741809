"""Reads a stream back, and changes it as a stranger would."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import nats
from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamConfig
from nats.js.errors import NotFoundError, ServiceUnavailableError

from relay.events.cursor import anchor_of


@dataclass(frozen=True, slots=True)
class Stored:
    """A message of the stream."""

    sequence: int
    subject: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_event(self) -> bool:
        return "ce-id" in self.headers

    @property
    def key(self) -> tuple[str, int]:
        """(aggregate, version) of an event."""
        return self.headers["ce-subject"], int(self.headers["Tandem-Version"])


#: Seconds, enough for a server on an overloaded machine.
SECONDS = 60


def jetstream_of(connection: Client) -> JetStreamContext:
    """Returns the connection's JetStream, with long timeouts."""
    return connection.jetstream(timeout=SECONDS)


@contextlib.asynccontextmanager
async def client(url: str) -> AsyncIterator[Client]:
    """Yields a connection; `url` may be several, separated by commas."""

    async def quiet(_: Exception) -> None:
        """Ignores errors: these tests kill servers on purpose."""

    connection = await nats.connect(
        url.split(","), error_cb=quiet, max_reconnect_attempts=-1, reconnect_time_wait=0.1, connect_timeout=SECONDS
    )
    try:
        yield connection
    finally:
        await connection.close()


async def read_all(url: str, stream: str) -> list[Stored]:
    """Returns all messages of the stream, in order."""
    async with client(url) as connection:
        jetstream = jetstream_of(connection)
        last = (await jetstream.stream_info(stream)).state.last_seq
        found: list[Stored] = []
        subscription = await _reader(connection, stream)
        while not found or found[-1].sequence < last:
            if last == 0:
                break
            try:
                messages = await subscription.fetch(1_000, timeout=SECONDS)
            except ServiceUnavailableError:
                await asyncio.sleep(0.05)  # in a cluster the consumer exists only a moment after it was created
                continue
            for message in messages:
                sequence = message.metadata.sequence.stream
                found.append(Stored(sequence, message.subject, message.headers or {}, message.data))
        await subscription.unsubscribe()
    return found


async def _reader(connection: Client, stream: str) -> JetStreamContext.PullSubscription:
    """Creates a consumer of the whole stream; retries while a cluster elects a leader."""
    config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE, mem_storage=True)
    for _ in range(SECONDS // 10):
        with contextlib.suppress(TimeoutError, NatsTimeoutError):
            return await connection.jetstream(timeout=10).pull_subscribe(">", stream=stream, config=config)
    raise TimeoutError(f"no consumer of {stream} could be made within {SECONDS} s")


def events(messages: Sequence[Stored]) -> list[tuple[str, int]]:
    """Returns (aggregate, version) of the events among the messages."""
    return [message.key for message in messages if message.is_event]


def terms(messages: Sequence[Stored]) -> list[int]:
    """Returns the term of each of the relay's messages: its own, or that of the barrier that it names."""
    by_sequence = {message.sequence: message.headers for message in messages}
    found: list[int] = []
    for message in messages:
        anchor = anchor_of(message.headers["Tandem-Cursor"])
        holder = by_sequence[anchor] if isinstance(anchor, int) else message.headers
        found.append(int(holder["Tandem-Term"]))
    return found


async def state(url: str, stream: str) -> tuple[int, int]:
    """Returns (messages, last sequence); zeros when the stream does not exist."""
    async with client(url) as connection:
        try:
            found = (await jetstream_of(connection).stream_info(stream)).state
        except NotFoundError:
            return 0, 0
        return found.messages, found.last_seq


async def last_header(url: str, stream: str, subject: str, header: str) -> str:
    """Returns a header of the last message on `subject`; "" when there is no such message, stream or header."""
    async with client(url) as connection:
        try:
            message = await jetstream_of(connection).get_last_msg(stream, subject)
        except NotFoundError:
            return ""
        return str((message.headers or {}).get(header, ""))


async def create_stream(url: str, **config: Any) -> None:
    """Creates a stream as given."""
    async with client(url) as connection:
        await jetstream_of(connection).add_stream(StreamConfig(**config))


async def update_stream(url: str, stream: str, **changes: Any) -> None:
    """Changes a stream's configuration."""
    async with client(url) as connection:
        jetstream = jetstream_of(connection)
        config = (await jetstream.stream_info(stream)).config
        await jetstream.update_stream(config.evolve(**changes))


async def delete_stream(url: str, stream: str) -> None:
    """Deletes a stream."""
    async with client(url) as connection:
        await jetstream_of(connection).delete_stream(stream)


async def publish(url: str, subject: str, body: bytes = b"stranger", *, times: int = 1) -> None:
    """Publishes as a stranger."""
    async with client(url) as connection:
        jetstream = jetstream_of(connection)
        for _ in range(times):
            await jetstream.publish(subject, body)
