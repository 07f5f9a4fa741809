"""Publishes through sinks on a real NATS, without a relay, and reads back the stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import pytest

from relay.events.errors import Closing, SessionClosed
from relay.events.message import Message
from relay.stream.nats_connection import NatsOptions
from relay.stream.publish_policy import PublishPolicy
from relay.stream.publish_window import Flight
from relay.stream.setup import StreamPlan
from relay.stream.sink import JetStreamSession, JetStreamSink, WindowLimits
from tests.support.relay import streams


def plan_for(stream: str, prefix: str, *, replicas: int = 1) -> StreamPlan:
    """Returns the plan of a stream for the subjects below `prefix`; its first session creates it."""
    template = prefix + ".{partition}.{event_type}"
    return StreamPlan(stream, template, f"{prefix}.barrier", 3_600, 256 << 20, True, replicas)


def sink_on(
    url: str, plan: StreamPlan, policy: str | PublishPolicy = "chain", ack_timeout: float = 60.0
) -> JetStreamSink:
    """Returns a sink that allows many messages in flight; `url` may be several, separated by commas."""
    flights: list[Flight] = []
    return JetStreamSink(
        NatsOptions(tuple(url.split(","))),
        plan,
        policy if isinstance(policy, PublishPolicy) else PublishPolicy(policy),  # type: ignore[arg-type]
        WindowLimits(4_096, 16 << 20, ack_timeout),
        flights.append,
    )


def messages(prefix: str, numbers: Sequence[int], size: int = 10) -> list[Message]:
    """Returns messages whose id and body are their number."""
    return [
        Message.sized(
            f"{prefix}.0.E".encode(),
            b"1:%d" % number,
            b"Tandem-Cursor: 1;poll;;5:6:;%d\r\nTandem-Term: 1\r\n" % number,
            b"%0*d" % (size, number),
            group=str(number),
            position=number,
            recorded_at=number,
        )
        for number in numbers
    ]


@contextlib.asynccontextmanager
async def opened(sink: JetStreamSink, seconds: float = 120.0) -> AsyncIterator[JetStreamSession]:
    """Yields a session; retries for `seconds`, because a cluster may have no leader at first."""
    async with asyncio.timeout(seconds) as patience, contextlib.AsyncExitStack() as ends:
        while True:
            try:
                session = await ends.enter_async_context(sink.session())
                break
            except SessionClosed as closed:
                if closed.closing is not Closing.UNAVAILABLE:
                    raise
                await asyncio.sleep(0.1)
        patience.reschedule(None)
        yield session


async def send_all(session: JetStreamSession, batch: Sequence[Message]) -> None:
    """Sends all messages, without waiting for the last acks."""
    sent = 0
    while sent < len(batch):
        before, sent = sent, session.send(batch, sent)
        if sent == before:
            await session.wait(1.0)


async def settle(session: JetStreamSession) -> None:
    """Waits for the acks of all messages sent."""
    while not session.settled:
        await session.wait(1.0)


async def store(session: JetStreamSession, batch: Sequence[Message]) -> None:
    """Sends all messages and waits for the acks."""
    await send_all(session, batch)
    await settle(session)


@contextlib.asynccontextmanager
async def opened_after(sink: JetStreamSink, first: Sequence[Message]) -> AsyncIterator[JetStreamSession]:
    """Yields a session that has stored the stream's first messages.

    It begins again with what is missing, because a stream of a cluster may lose its leader at any time.
    """
    while True:
        async with opened(sink) as session:
            try:
                await store(session, first[session.stored_sequence :])
            except SessionClosed as closed:
                if closed.closing is not Closing.UNAVAILABLE:
                    raise
                continue
            yield session
            return


async def outcome(session: JetStreamSession, seconds: float = 60.0) -> SessionClosed:
    """Waits for the error that ends the session, and returns it."""
    with pytest.raises(SessionClosed) as closed:
        await session.pause(seconds)
    return closed.value


async def bodies(url: str, stream: str) -> list[bytes]:
    """Returns the bodies of the stream's messages."""
    return [message.body for message in await streams.read_all(url, stream)]


def numbered(numbers: Sequence[int], size: int = 10) -> list[bytes]:
    """Returns the bodies that `messages` gives these numbers."""
    return [b"%0*d" % (size, number) for number in numbers]


def without(frame: bytes, header: bytes) -> bytes:
    """Returns the frame without that header line, with corrected lengths."""
    head, _, rest = frame.partition(b"\r\n")
    start = rest.find(header + b": ")
    if start < 0:
        return frame
    end = rest.index(b"\r\n", start) + 2
    *words, header_length, total = head.split()
    cut = end - start
    return b"%b %d %d\r\n%b" % (b" ".join(words), int(header_length) - cut, int(total) - cut, rest[:start] + rest[end:])


async def stale_twin(sink: JetStreamSink, url: str, stream: str, prefix: str) -> list[bytes]:
    """Returns the stream's bodies after two sessions sent the same events, with a short duplicate window."""
    async with opened(sink):
        pass
    await streams.update_stream(url, stream, duplicate_window=0.1)
    async with opened(sink) as stale:
        async with opened_after(sink, messages(prefix, range(5))):
            pass
        await asyncio.sleep(
            0.3
        )  # until the duplicate window has passed, which no request shows; only the mutant needs it
        with contextlib.suppress(SessionClosed):
            await store(stale, messages(prefix, range(5)))
    return await bodies(url, stream)


async def stranger_in_between(sink: JetStreamSink, url: str, stream: str, prefix: str) -> list[bytes]:
    """Returns the stream's bodies after a stranger's message arrived in the middle of a flight.

    A session that goes on may not believe that any message of the flight is stored.
    """
    async with opened_after(sink, messages(prefix, range(2))) as session:
        believed = session.stored_sequence
        await streams.publish(url, f"{prefix}.stranger")
        try:
            await store(session, messages(prefix, range(2, 6)))
        except SessionClosed:
            assert session.stored_sequence == believed
    return await bodies(url, stream)
