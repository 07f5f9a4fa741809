"""Creates, fills, reads and deletes the JetStream stream of a bench. It uses none of the code that is measured."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

NAME = "BENCH_RELAY"
#: The subjects. Those of events have one token more than the one of barriers, so EVENTS matches no barrier.
TEMPLATE, BARRIER, EVENTS = "bench.v1.{partition}.{event_type}", "bench.v1.barrier", "bench.v1.*.*"
#: The header with an event's id, which CloudEvents requires.
EVENT_ID = "ce-id"
#: After how many messages `fill` waits for an ack, because NATS drops messages for which it has no room.
_UNACKED = 1_000
_FRACTION = re.compile(r"\.(\d+)")


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message of the stream. `at` is the time at which the stream stored it, in seconds since 1970."""

    subject: str
    headers: Mapping[str, str]
    body: bytes
    at: float


class Stream:
    """The stream NAME on the server at `url`. `async with` opens the connection, and closes it at the end."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = Client()

    async def __aenter__(self) -> Self:
        self._client = await nats.connect(self.url)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def drop(self) -> None:
        """Deletes the stream, if it exists."""
        await self._api(f"STREAM.DELETE.{NAME}")

    async def create(self, configuration: Mapping[str, Any]) -> None:
        """Creates the stream with a configuration from `configuration`. Raises RuntimeError if NATS refuses."""
        answer = await self._api(f"STREAM.CREATE.{NAME}", configuration)
        if "error" in answer:
            raise RuntimeError(f"stream {NAME} cannot be made: {answer['error']}")

    async def configuration(self) -> dict[str, Any]:
        """Returns the stream's configuration."""
        return dict((await self._api(f"STREAM.INFO.{NAME}"))["config"])

    async def state(self) -> Mapping[str, Any]:
        """Returns the stream's state. If the stream does not exist, it is a state with zero messages."""
        answer = await self._api(f"STREAM.INFO.{NAME}")
        state: Mapping[str, Any] = answer.get("state", {"messages": 0, "bytes": 0, "last_seq": 0})
        return state

    async def events(self) -> int:
        """Returns the number of events in the stream. Barriers are not counted."""
        answer = await self._api(f"STREAM.INFO.{NAME}", {"subjects_filter": EVENTS})
        return sum(answer.get("state", {}).get("subjects", {}).values())

    async def message(self, which: Mapping[str, Any]) -> StoredMessage:
        """Returns one stored message. `which` is the request of NATS's API that selects it.

        `{"seq": 7}` is the message with that sequence. `{"last_by_subj": subject}` is the last message whose subject
        matches. `{"seq": 7, "next_by_subj": subject}` is the first one with that sequence or a higher one that matches.
        """
        return _stored((await self._api(f"STREAM.MSG.GET.{NAME}", which))["message"])

    async def next_event(self, sequence: int) -> tuple[StoredMessage, int]:
        """Returns the first event with this sequence or a higher one, and the sequence after that event's."""
        which = {"seq": sequence, "next_by_subj": EVENTS}
        found = (await self._api(f"STREAM.MSG.GET.{NAME}", which))["message"]
        return _stored(found), int(found["seq"]) + 1

    async def publish(self, message: StoredMessage) -> None:
        """Publishes a message and waits for the ack. Raises RuntimeError if the stream refuses the message."""
        reply = await self._client.request(
            message.subject, message.body, timeout=10, headers=dict(message.headers) or None
        )
        if "error" in json.loads(reply.data):
            raise RuntimeError(f"the message is refused: {reply.data.decode()}")

    async def fill(self, messages: Iterable[StoredMessage]) -> None:
        """Publishes messages as fast as possible, and waits for an ack only now and then."""
        for number, message in enumerate(messages, start=1):
            if number % _UNACKED == 0:
                await self.publish(message)
            else:
                await self._client.publish(message.subject, message.body, headers=dict(message.headers))
        await self._client.flush(30)

    async def unprojected(self, consumer: str) -> int:
        """Returns how many messages of the stream are not yet acknowledged to this consumer."""
        info = await self._api(f"CONSUMER.INFO.{NAME}.{consumer}")
        return int(info["num_pending"]) + int(info["num_ack_pending"])

    async def add_consumer(self, configuration: ConsumerConfig) -> None:
        """Creates a consumer of the stream with this configuration."""
        await self._client.jetstream().add_consumer(NAME, configuration)

    async def drop_consumer(self, name: str) -> None:
        """Deletes the consumer with this name."""
        await self._client.jetstream().delete_consumer(NAME, name)

    async def stored_times(self) -> dict[str, float]:
        """Returns when the stream stored each event, in seconds since 1970, by the id in the event's `ce-id`."""
        jetstream = self._client.jetstream()
        subscription = await jetstream.pull_subscribe(
            EVENTS, stream=NAME, config=ConsumerConfig(ack_policy=AckPolicy.NONE, headers_only=True, mem_storage=True)
        )
        expected, seen, found = await self.events(), 0, dict[str, float]()
        while seen < expected:
            for one in await subscription.fetch(2_000, timeout=5):
                seen += 1
                # $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time in ns>.<pending>
                found[(one.headers or {})[EVENT_ID]] = int(one.reply.split(".")[-2]) / 1e9
        await subscription.unsubscribe()
        return found

    @contextlib.asynccontextmanager
    async def arrivals(self) -> AsyncIterator[dict[str, float]]:
        """Yields a dictionary that collects when each new event reaches a subscriber, by its id.

        A subscriber gets an event after the server has stored it as durably as it does, about when the ack is sent.
        """
        found, inbox = dict[str, float](), self._client.new_inbox()

        async def arrived(message: Msg) -> None:
            found[(message.headers or {}).get(EVENT_ID, "")] = time.time()

        subscription = await self._client.subscribe(inbox, cb=arrived)
        await self._client.jetstream().add_consumer(NAME, ConsumerConfig(
            deliver_subject=inbox, filter_subject=EVENTS, deliver_policy=DeliverPolicy.NEW, headers_only=True,
            ack_policy=AckPolicy.NONE, mem_storage=True,
        ))  # fmt: skip
        try:
            yield found
        finally:
            await subscription.unsubscribe()

    async def wait_for_events(self, wanted: int, within: float) -> bool:
        """Waits until the stream has `wanted` events; returns False when it has fewer after `within` seconds."""
        deadline = asyncio.get_running_loop().time() + within
        while await self.events() < wanted:
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.1)
        return True

    async def _api(self, subject: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        reply = await self._client.request(f"$JS.API.{subject}", json.dumps(body or {}).encode(), timeout=30)
        return dict(json.loads(reply.data))


def _stored(found: Mapping[str, Any]) -> StoredMessage:
    head = base64.b64decode(found.get("hdrs", "")).decode()
    pairs = (line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    body = base64.b64decode(found.get("data", ""))
    return StoredMessage(found["subject"], dict(pairs), body, seconds(found["time"]))


def seconds(text: str) -> float:
    """Parses a time in RFC 3339 format with any number of decimals. Returns seconds since 1970."""
    whole = datetime.fromisoformat(_FRACTION.sub("", text))
    found = _FRACTION.search(text)
    return whole.timestamp() + (float(f"0.{found[1]}") if found else 0.0)
