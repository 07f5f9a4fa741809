"""Publishes to one JetStream stream with fences: a session continues exactly after the last message, or ends.

The first error closes a session. Later answers are ignored, and buffered messages are dropped with the connection. The
next session reads from the stream what was stored. No session goes on after an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog

from relay.events.errors import Closing, DuplicateReported, Refused, SessionClosed
from relay.events.message import Message, MessageLimits
from relay.events.tail import Tail
from relay.stream.ack import BATCH_TOO_LARGE, Ack, Nack, read_ack
from relay.stream.jetstream_api import JetStreamApi, StoredMessage, StreamApiError, StreamInfo
from relay.stream.nats_connection import NATS_ERRORS, NatsConnection, NatsOptions
from relay.stream.position import read_tail
from relay.stream.publish_policy import (
    CHAIN_FLIGHT_BYTES,
    MAX_BATCH_BYTES,
    PublishPolicy,
    batch_frames,
    chain_frames,
    cut,
)
from relay.stream.publish_window import Flight, PublishWindow
from relay.stream.setup import NANOSECONDS, StreamPlan, ensure_stream, other_replicas, require_server
from service_runtime.error_text import in_one_line

_log = structlog.get_logger(__name__)
Found = TypeVar("Found")

#: While more bytes than these wait to be written to the socket, nothing more is sent. The relay does not block in a
#: write, because the leader must keep using its database session.
MAX_UNWRITTEN_BYTES = 2 << 20
#: Called with each flight, when all its messages are stored.
OnStored = Callable[[Flight], None]


@dataclass(frozen=True, slots=True)
class WindowLimits:
    """Limits of what is in flight: the number of messages, and their bytes. `ack_timeout` is in seconds."""

    events: int
    bytes: int
    ack_timeout: float


class JetStreamSession:
    """Publishes fenced messages after `tail`, over one connection, until the first error."""

    def __init__(
        self,
        connection: NatsConnection,
        info: StreamInfo,
        tail: Tail,
        policy: PublishPolicy,
        limits: WindowLimits,
        on_stored: OnStored,
    ) -> None:
        self.tail = tail
        self.stream = info
        largest = info.config.get("max_msg_size", -1)
        self.limits = MessageLimits(min(connection.max_payload, largest) if largest > 0 else connection.max_payload)
        self._api = JetStreamApi(connection)
        self._connection = connection
        self._policy = policy
        self._ack_timeout = limits.ack_timeout
        self._on_stored = on_stored
        #: What is in flight, and how much more may be.
        self.window = PublishWindow(tail.last_sequence, limits.events, limits.bytes)
        self._last_id: bytes | None = None
        self._closed: SessionClosed | Refused | None = None
        self._changed = asyncio.Event()
        self._woken = asyncio.Event()
        #: Ends the current pause. If there is none now, it ends the next one at once.
        self.wake: Callable[[], None] = self._woken.set
        self._timer: asyncio.TimerHandle | None = None
        self._free_since = 0.0

    @property
    def max_age_seconds(self) -> float:
        """How long the stream keeps a message; infinite if no age limits that."""
        nanoseconds = self.stream.config.get("max_age", 0)
        return nanoseconds / NANOSECONDS if nanoseconds > 0 else math.inf

    @property
    def next_sequence(self) -> int:
        """The predicted stream sequence of the next message."""
        return self.window.sent_sequence + 1

    @property
    def stored_sequence(self) -> int:
        """The last stream sequence that is acknowledged. Before the first ack it is the stream's end at the start."""
        return self.window.stored_sequence

    @property
    def settled(self) -> bool:
        """Whether every sent message is acknowledged."""
        return self.window.settled

    @property
    def outstanding_bytes(self) -> int:
        """Bytes in flight."""
        return self.window.outstanding_bytes

    def oldest_in_flight(self) -> int | None:
        """The least `recorded_at` (µs) of the events in flight; None when there are none."""
        return self.window.oldest()

    def send(self, messages: Sequence[Message], start: int = 0) -> int:
        """Writes one flight: the first messages of `messages[start:]`. Returns the index of the first unsent message.

        Returns `start` if nothing can be sent before acks arrive. Raises SessionClosed once the session is over.
        """
        self._raise_if_closed()
        window, waiting = self.window, len(messages) - start
        now, room = time.monotonic(), window.room()[0]
        if self._policy.alone(waiting, now):
            if not window.settled:
                return start
        elif room <= 0 or self._connection.unwritten >= MAX_UNWRITTEN_BYTES:
            return start
        atomic = self._policy.atomic(waiting, now) and not self._policy.suspected(messages[start:])
        each = False
        if atomic:
            end = cut(messages, start, self._policy.max_batch, MAX_BATCH_BYTES, whole_groups=True)
            flight = messages[start:end]
            batch_id = secrets.token_hex(8).encode()
            frames = batch_frames(flight, window.sent_sequence, batch_id, self._connection.inbox)
        else:
            end = cut(
                messages, start, min(self._policy.most_chained, max(1, room)), CHAIN_FLIGHT_BYTES, whole_groups=False
            )
            flight = messages[start:end]
            each = self._policy.suspected(flight)
            frames = chain_frames(
                flight, window.sent_sequence, self._policy.link(self._last_id), self._connection.inbox, each=each
            )
        if window.settled:
            self._free_since = now
        window.sent(flight, sum(map(len, frames)), now, self._ack_timeout, atomic=atomic, each=each)
        self._last_id = flight[-1].message_id
        if self._timer is None:
            self._watch_deadline()
        try:
            self._connection.write(frames)
        except NATS_ERRORS as error:
            self.close(SessionClosed(Closing.UNAVAILABLE, f"connection to NATS lost while writing: {error}"))
        self._raise_if_closed()
        return end

    async def wait(self, seconds: float) -> None:
        """Waits for an ack, at most `seconds`. Raises SessionClosed once the session is over."""
        self._changed.clear()
        await self._wait_for(self._changed, seconds)

    async def pause(self, seconds: float) -> None:
        """Waits `seconds` or until woken. Raises SessionClosed as soon as the session is over."""
        await self._wait_for(self._woken, seconds)
        self._woken.clear()

    async def _wait_for(self, event: asyncio.Event, seconds: float) -> None:
        self._raise_if_closed()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()
        self._raise_if_closed()

    def on_plain_ack(self, number: int, sequence: int) -> None:
        """Handles the plain ack of a message: the one that was sent as `number` is stored at `sequence`."""
        if self._closed is None:
            self._stored(Ack(sequence, duplicate=False, count=None), number)

    def on_ack(self, subject: bytes, body: bytes, headers: bytes | None) -> None:
        """Handles one answer of the server to a publish."""
        if self._closed is not None:
            return
        number = int(subject[subject.rindex(b".") + 1 :])
        answer = read_ack(body, headers)
        if answer is None:
            return
        if isinstance(answer, Nack):
            self._refused(answer, number)
            return
        self._stored(answer, number)

    def on_denied(self, denial: Refused) -> None:
        """Ends the session, so that an operator learns of the missing right."""
        self.close(denial)

    def close(self, cause: SessionClosed | Refused) -> None:
        """Ends the session with the error `cause`, unless it has ended before."""
        if self._closed is None:
            self._closed = cause
            self._changed.set()
            self._woken.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stored(self, ack: Ack, number: int) -> None:
        if ack.duplicate:
            self._policy.named()
            reason = f"the server knows the id of message {number} already, stored at {ack.sequence}"
            self.close(DuplicateReported(reason, number, ack.sequence))
            return
        window = self.window
        if ack.sequence != number or number != window.expected():
            reason = f"ack for sequence {ack.sequence} of message {number}, expected {window.expected()}"
            self.close(SessionClosed(Closing.FENCED, reason))
            return
        self._changed.set()
        flight, now = window.acknowledged(), time.monotonic()
        if flight is None:
            return
        count = len(flight.messages)
        if flight.atomic and ack.count != count:
            self.close(SessionClosed(Closing.FENCED, f"a batch of {count} was stored as {ack.count}"))
            return
        self._policy.cleared(flight.messages)
        self._policy.stored(count, now - max(flight.sent_at, self._free_since), now, atomic=flight.atomic)
        self._free_since = now
        self._on_stored(flight)

    def _refused(self, nack: Nack, number: int) -> None:
        """Ends the session. If a flight with one ack was refused, any of its messages may be the cause."""
        closing, reason = nack.closing, nack.reason
        flight = self.window.flight_of(number)
        if flight is not None and not flight.each and (flight.atomic or len(flight.messages) > 1):
            unclear = {Closing.FLIGHT, Closing.EVENT} if flight.atomic else {Closing.FENCED}
            if closing in unclear:
                self._policy.flight_refused(flight.messages, too_large=nack.code == BATCH_TOO_LARGE)
                closing = Closing.FLIGHT
                reason = f"messages up to {number} were refused, for one of them or for another writer: {reason}"
        if closing is Closing.EVENT:
            self._policy.named()
        self.close(SessionClosed(closing, reason, number))

    def refused_message(self, cause: SessionClosed) -> Message | None:
        """Returns the message in flight that an error belongs to; None if it belongs to none."""
        return self.window.message_at(cause.sequence) if cause.sequence is not None else None

    async def holds(self, sequence: int, message: Message) -> bool:
        """Returns whether the stream has `message` at `sequence`. Raises SessionClosed if NATS does not answer.

        The id of a message is made of the event's position. So the id of the event is compared too: somebody may have
        set the positions of the table back.
        """
        try:
            stored = await self._api.message(str(self.stream.config["name"]), sequence)
        except (*NATS_ERRORS, StreamApiError) as error:
            raise SessionClosed(Closing.UNAVAILABLE, f"NATS does not answer: {in_one_line(error)}") from None
        if stored is None or stored.headers.get("Nats-Msg-Id", "").encode() != message.message_id:
            return False
        event_id = stored.headers.get("ce-id")
        return event_id is None or f"\r\nce-id: {event_id}\r\n".encode() in message.headers

    async def last(self, subject: str) -> StoredMessage | None:
        """Returns the stream's last message on `subject`. Raises SessionClosed if NATS does not answer."""
        return await self._looked_up(self._api.last_message(str(self.stream.config["name"]), subject))

    async def first(self) -> StoredMessage | None:
        """Returns the first message that the stream still has. Raises SessionClosed if NATS does not answer."""
        name = str(self.stream.config["name"])
        info = await self._looked_up(self._api.stream_info(name))
        return None if info is None else await self._looked_up(self._api.message(name, info.first_sequence))

    async def _looked_up(self, call: Awaitable[Found]) -> Found:
        try:
            return await call
        except (*NATS_ERRORS, StreamApiError) as error:
            raise SessionClosed(Closing.UNAVAILABLE, f"NATS does not answer: {in_one_line(error)}") from None

    def _watch_deadline(self) -> None:
        if self._timer is None and (deadline := self.window.deadline()) is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, deadline - time.monotonic()), self._deadline_passed)

    def _deadline_passed(self) -> None:
        self._timer = None
        deadline = self.window.deadline()
        if deadline is not None and time.monotonic() >= deadline:
            reason = f"no ack for message {self.window.expected()} within {self._ack_timeout:g} s"
            self.close(SessionClosed(Closing.UNAVAILABLE, reason))
        else:
            self._watch_deadline()

    def _raise_if_closed(self) -> None:
        if self._closed is not None:
            raise self._closed


class JetStreamSink:
    """Opens publishing sessions on one stream. Its policy keeps what it learns about the server between sessions."""

    def __init__(
        self,
        options: NatsOptions,
        plan: StreamPlan,
        policy: PublishPolicy,
        limits: WindowLimits,
        on_stored: OnStored,
    ) -> None:
        self._options = options
        self._plan = plan
        self._policy = policy
        self._limits = limits
        self._on_stored = on_stored
        self._told: str | None = None

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[JetStreamSession]:
        """Opens a session after the stream's last message.

        Raises SessionClosed when NATS cannot be reached or does not answer, Refused when the server or the stream is
        unfit.
        """
        sessions: list[JetStreamSession] = []

        def closed(reason: str) -> None:
            for session in sessions:
                session.close(SessionClosed(Closing.UNAVAILABLE, reason))

        try:
            connection = await NatsConnection.open(self._options, "tandem-relay", closed)
        except NATS_ERRORS as error:
            raise SessionClosed(Closing.UNAVAILABLE, f"NATS cannot be reached: {in_one_line(error)}") from None
        try:
            try:
                require_server(connection.server_version)
                api = JetStreamApi(connection)
                info = await ensure_stream(api, self._plan)
                self._tell(other_replicas(self._plan, info.config))
                tail = await read_tail(api, self._plan.name, info, self._plan.barrier_subject)
                self._policy.begin(clustered=info.clustered)
                session = JetStreamSession(connection, info, tail, self._policy, self._limits, self._on_stored)
                await connection.receive_acks(self._plan.name, session)
                sessions.append(session)
            except (*NATS_ERRORS, StreamApiError) as error:
                raise SessionClosed(Closing.UNAVAILABLE, f"NATS does not answer: {in_one_line(error)}") from None
            yield session
        finally:
            for session in sessions:
                session.close(SessionClosed(Closing.UNAVAILABLE, "the session is over"))
            await connection.end()

    def _tell(self, difference: str | None) -> None:
        """Logs a difference between stream and plan once, not in each session."""
        if difference is not None and difference != self._told:
            _log.warning(difference)
        self._told = difference
