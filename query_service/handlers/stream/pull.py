"""Pulls messages of the shared consumer, and keeps the server from redelivering them while they are worked on.

One pull request is open at a time and expires soon, so a request that is lost in a server's restart delays little. The
number of unacknowledged messages is bounded, so a projector that cannot write stops pulling. While messages are worked
on, the server gets +WPI (work in progress) for them. When this process dies or hangs, the +WPI stop and the server
redelivers the messages to another projector.

The library's `fetch` costs three times as much for each event (ADR 58, measured by `make bench-projection`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import Mapping, Sequence

import structlog

from query_service.handlers.nats_connection import NATS_ERRORS, NatsConnection, header_fields
from query_service.handlers.stream.consumer import ConsumerPlan, missing_consumer, silent_consumer
from query_service.handlers.stream.working_together import work_together
from service_runtime.error_text import in_one_line

_log = structlog.get_logger(__name__)
PULL_SECONDS = 2.0
#: A pull request that is not answered this long after its expiry counts as lost.
GRACE_SECONDS = 1.0
RETRY_SECONDS = 0.5
#: The most bytes that one pull request asks for.
PULL_BYTES = 32 * 1024 * 1024
_NO_RESPONDERS, _CONFLICT, _HEARTBEAT = "503", "409", "100"


def sequence_and_time(reply: str) -> tuple[int, int]:
    """Returns a delivered message's stream sequence, and when it was stored, in microseconds since 1970.

    Both are in the message's reply subject.
    """
    # $JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<consumer sequence>.<nanoseconds>.<pending>. In the longer form
    # domain and account come before the stream, and a random token may come last.
    tokens = reply.split(".")
    first = 2 if len(tokens) == 9 else 4
    return int(tokens[first + 3]), int(tokens[first + 5]) // 1000


class StreamDelivery:
    """Implements Delivery for a message that this process pulled. Its headers are parsed when they are first read."""

    __slots__ = ("_block", "_headers", "_pull", "body", "received_at", "reply", "sequence", "stored_at")

    def __init__(self, reply: str, block: bytes | None, body: bytes, pull: StreamPull) -> None:
        self.reply, self._block, self.body, self._pull = reply, block, body, pull
        self._headers: Mapping[str, str] | None = None
        self.sequence, self.stored_at = sequence_and_time(reply)
        self.received_at = time.time_ns() // 1000

    @property
    def headers(self) -> Mapping[str, str]:
        """See Delivery."""
        if self._headers is None:
            self._headers = header_fields(self._block)
        return self._headers

    async def ack(self) -> None:
        """See Delivery."""
        self._pull.acknowledge(self.reply)


class StreamPull:
    """Pulls the messages of one projector. `capacity`: the most messages that may be unacknowledged."""

    def __init__(self, client: NatsConnection, plan: ConsumerPlan, *, capacity: int) -> None:
        self._client, self._plan, self._capacity = client, plan, capacity
        self._unacknowledged: set[str] = set()
        self._ready: deque[StreamDelivery] = deque()
        self._arrived, self._room, self._acks_added = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._acks: list[str] = []
        self._request_over = asyncio.Event()
        self._expected = 0
        #: Why no messages arrive; None while pull requests are answered.
        self.problem: str | None = None
        #: When the server last answered a pull request, on time.monotonic().
        self.last_answer_at = time.monotonic()

    @property
    def unacknowledged(self) -> int:
        """The number of messages that were received and are not acknowledged."""
        return len(self._unacknowledged)

    async def run(self) -> None:
        """Pulls until cancelled, and then returns unprocessed messages to the server (-NAK).

        Raises ConnectionError when the connection was closed for good.
        """
        inbox = self._client.new_inbox()
        subscription = await self._client.receive(inbox, self._on_message)
        try:
            await work_together(self._request_forever(inbox), self._extend_ack_waits(), self._acknowledge())
        finally:
            await self._answer(self._acks, b"+ACK")
            with contextlib.suppress(*NATS_ERRORS):
                await subscription.unsubscribe()
                await self._answer([delivery.reply for delivery in self._ready], b"-NAK")
                await self._client.flush(2)

    async def batch(self, most: int, most_bytes: int, linger: float) -> list[StreamDelivery]:
        """Waits for a first message, then `linger` seconds for more, and returns them in order.

        At most `most` messages, whose bodies have at most `most_bytes` together; one message may be larger.
        """
        taken: list[StreamDelivery] = []
        while not self._ready:
            self._arrived.clear()
            await self._arrived.wait()
            if linger and len(self._ready) < most:
                await asyncio.sleep(linger)
        size = 0
        while self._ready and len(taken) < most and (not taken or size + len(self._ready[0].body) <= most_bytes):
            taken.append(self._ready.popleft())
            size += len(taken[-1].body)
        return taken

    def acknowledge(self, reply: str) -> None:
        """Queues the ack of a message. Acks are sent soon, many at a time."""
        self._unacknowledged.discard(reply)
        self._acks.append(reply)
        self._room.set()
        self._acks_added.set()

    async def _acknowledge(self) -> None:
        while True:
            await self._acks_added.wait()
            self._acks_added.clear()
            acks, self._acks = self._acks, []
            await self._answer(acks, b"+ACK")

    async def _answer(self, replies: Sequence[str], answer: bytes) -> None:
        """Sends an answer for each message. When that fails the messages are redelivered, which is harmless."""
        try:
            await self._client.publish_all(replies, answer)
        except NATS_ERRORS as error:
            _log.debug("answer lost", error=in_one_line(error))

    async def _request_forever(self, inbox: str) -> None:
        while True:
            await self._request(inbox)

    async def _request(self, inbox: str) -> None:
        """Sends one pull request when there is room, and waits until it ends."""
        while (room := self._capacity - len(self._unacknowledged)) <= 0:
            self._room.clear()
            await self._room.wait()
        if self._client.is_closed:
            raise ConnectionError("the connection to NATS was closed for good")
        if not self._client.is_connected:
            self.problem = "the connection to NATS is lost"
            await asyncio.sleep(RETRY_SECONDS)
            return
        self._request_over.clear()
        self._expected = room
        body = {"batch": room, "expires": int(PULL_SECONDS * 1e9), "max_bytes": PULL_BYTES}
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._plan.stream}.{self._plan.name}"
        try:
            await self._client.publish(subject, json.dumps(body).encode(), reply=inbox)
            async with asyncio.timeout(PULL_SECONDS + GRACE_SECONDS):
                await self._request_over.wait()
        except NATS_ERRORS:  # no answer, not even a status
            if time.monotonic() - self.last_answer_at > 2 * (PULL_SECONDS + GRACE_SECONDS):
                self.problem = "NATS does not answer pull requests"
            return
        if self.problem is not None:
            await asyncio.sleep(RETRY_SECONDS)

    def _on_message(self, reply: str, block: bytes | None, body: bytes) -> None:
        self.last_answer_at = time.monotonic()
        if not reply.startswith("$JS.ACK."):
            if "Status" in (fields := header_fields(block)):
                self._on_status(fields["Status"], fields.get("Description", ""))
            return
        self.problem = None
        if reply not in self._unacknowledged:
            self._unacknowledged.add(reply)
            self._ready.append(StreamDelivery(reply, block, body, self))
            self._arrived.set()
        self._expected -= 1
        if self._expected <= 0:
            self._request_over.set()

    def _on_status(self, status: str, description: str) -> None:
        if status == _HEARTBEAT:
            return
        problem = None
        if status == _NO_RESPONDERS:
            problem = silent_consumer(self._plan)
        elif status == _CONFLICT and "Consumer Deleted" in description:
            problem = missing_consumer(self._plan)
        if problem is not None and self.problem != problem:
            _log.warning("paused", reason=problem)
        self.problem = problem
        self._request_over.set()

    async def _extend_ack_waits(self) -> None:
        """Sends +WPI for unacknowledged messages, so that the server does not redeliver them."""
        while True:
            await asyncio.sleep(self._plan.ack_wait / 3)
            await self._answer(list(self._unacknowledged), b"+WPI")
