"""Makes any number of messages like those that the relay publishes, by copying a few real ones.

Some orders of three lines are placed over gRPC, and the relay publishes their events. Every other message is a copy of
one of these in which only the ids, the order number and its search words are replaced.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from tandem.orders.partition import partition_of

from bench.commands.calls import PLACE, closed_loop, orders, texts
from bench.commands.rows import make_write_model
from bench.commands.servers import command_service
from bench.harness.servers import ReadServers
from bench.harness.stream import BARRIER, TEMPLATE, StoredMessage, Stream
from bench.relay.run import running_relay
from query_service.projection.order_document import EventDocument, OrderDocument
from query_service.projection.project import event_document_id, project
from query_service.projection.proto_json import moment
from query_service.projection.stream_event import read_event
from query_service.projection.words.stored import code_words
from query_service.storage.physical.page_parts import with_part

SAMPLES, LINES = 100, 3
#: Events between two barriers. The relay sends a barrier every second, in which a busy projector applies about as many.
EVENTS_PER_BARRIER = 5_000


@dataclass(frozen=True, slots=True)
class Ids:
    """The values in which the events of two orders differ here."""

    order_id: str
    event_id: str
    request_id: str
    order_number: str

    @classmethod
    def of(cls, number: int) -> Ids:
        """Returns the ids of the order with this number."""
        chance = hashlib.md5(f"order {number}".encode(), usedforsecurity=False).hexdigest().upper()
        return cls(
            _uuid(f"order {number}"),
            _uuid(f"event {number}"),
            _uuid(f"request {number}"),
            f"{chance[:5]}-{chance[5:10]}-{chance[10:15]}",
        )


@dataclass(frozen=True, slots=True)
class Template:
    """A text with the ids that it contains, which can be replaced."""

    text: bytes
    ids: Ids

    def with_ids(self, ids: Ids) -> bytes:
        """Returns the text with `ids` in place of its own ids, also in the search words of the order number."""
        old = self.ids
        text = self.text.replace(old.order_id.encode(), ids.order_id.encode())
        text = text.replace(old.event_id.encode(), ids.event_id.encode())
        text = text.replace(old.request_id.encode(), ids.request_id.encode())
        text = text.replace(old.order_number.encode(), ids.order_number.encode())
        return text.replace(_searched(old.order_number), _searched(ids.order_number))


@dataclass(frozen=True, slots=True)
class SampledStream:
    """The real messages to copy: one per sample order, and a barrier; and the configuration of their stream."""

    configuration: Mapping[str, Any]
    events: Sequence[StoredMessage]
    barrier: StoredMessage

    def messages(self, count: int) -> Iterator[StoredMessage]:
        """Yields the messages of `count` orders, with barriers between them and one at the end."""
        bodies = [Template(message.body, ids_in(message)) for message in self.events]
        for number, (sample, body) in zip(
            range(count), itertools.cycle(zip(self.events, bodies, strict=True)), strict=False
        ):
            if number and number % EVENTS_PER_BARRIER == 0:
                yield self.barrier
            yield _renumbered(sample, body, number)
        yield self.barrier

    def operations(self) -> list[Template]:
        """Returns, per sample order, the lines with which a projector writes its two documents in a `_bulk` request."""
        return [Template(_operations(message), ids_in(message)) for message in self.events]

    def barrier_now(self) -> StoredMessage:
        """Returns a barrier with the current time."""
        now = moment(time.time_ns() // 1000).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return StoredMessage(BARRIER, {**self.barrier.headers, "Tandem-Barrier-Time": now}, self.barrier.body, 0.0)


async def sample_stream(servers: ReadServers) -> SampledStream:
    """Places SAMPLES orders, reads the messages that the relay publishes, and deletes the stream."""
    url = await make_write_model(servers, "bench_samples", 0)
    placed = (order for order in orders(40 * SAMPLES) if len(order.lines) == LINES)
    async with command_service(servers.directory / "samples", url) as service:
        await closed_loop(service.address, PLACE, texts(list(itertools.islice(placed, SAMPLES))), 8)
    async with Stream(servers.nats.url) as nats:
        async with running_relay(servers.directory / "sample-relay", url, servers.nats.url, "wal") as relay:
            await relay.wait_until_publishing("wal")
            if not await nats.wait_for_events(SAMPLES, 30.0):
                raise RuntimeError(f"{await nats.events()} of {SAMPLES} sample events stored")
        configuration = await nats.configuration()
        found, sequence = list[StoredMessage](), 1
        while len(found) < SAMPLES:
            message, sequence = await nats.next_event(sequence)
            found.append(_unfenced(message))
        barrier = _unfenced(await nats.message({"last_by_subj": BARRIER}))
        await nats.drop()
    return SampledStream(configuration, found, barrier)


def ids_in(message: StoredMessage) -> Ids:
    """Returns the ids in a message."""
    payload = json.loads(message.body)["payload"]
    return Ids(payload["orderId"], payload["eventId"], payload["requestId"], payload["order"]["orderNumber"])


def documents_of(message: StoredMessage) -> tuple[OrderDocument, EventDocument, int]:
    """Returns the order document and the event document of a message, and their external version."""
    projected = project(read_event(message.headers, message.body))
    return projected.order, projected.event, projected.external_version


def _operations(message: StoredMessage) -> bytes:
    order, event, version = documents_of(message)
    pairs = (("@orders", order["order_id"], with_part(order)), (
        "@order-events", event_document_id(event["order_id"], event["version"]), event
    ))  # fmt: skip
    lines = []
    for index, document_id, document in pairs:
        action = {"_index": index, "_id": document_id, "version": version, "version_type": "external"}
        lines += [orjson.dumps({"index": action}), orjson.dumps(document)]
    return b"\n".join(lines) + b"\n"


def _renumbered(sample: StoredMessage, body: Template, number: int) -> StoredMessage:
    ids = Ids.of(number)
    headers = {
        **sample.headers,
        "Nats-Msg-Id": f"1:{ids.event_id}",
        "ce-id": ids.event_id,
        "ce-subject": ids.order_id,
        "ce-partitionkey": ids.order_id,
        "Tandem-Position": str(number + 1),
        "Tandem-Headers": sample.headers["Tandem-Headers"].replace(body.ids.request_id, ids.request_id),
    }
    subject = TEMPLATE.format(partition=partition_of(ids.order_id), event_type=headers["ce-type"])
    return StoredMessage(subject, headers, body.with_ids(ids), 0.0)


def _unfenced(message: StoredMessage) -> StoredMessage:
    kept = {name: value for name, value in message.headers.items() if not name.startswith("Nats-")}
    return StoredMessage(message.subject, kept, message.body, message.at)


def _uuid(text: str) -> str:
    chance = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    return f"{chance[:8]}-{chance[8:12]}-7{chance[13:16]}-a{chance[17:20]}-{chance[20:]}"


def _searched(order_number: str) -> bytes:
    return " ".join(code_words(order_number)).encode()
