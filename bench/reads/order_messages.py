"""Makes any number of messages like those that the relay publishes, by copying a few real ones.

Some orders of three lines are placed over gRPC, the relay publishes their events, and a projector makes documents of
them. Every other message is a copy of one of these in which only the ids and the order number are replaced, and so are
the operations by which raw `_bulk` writes the documents. Nothing here knows how messages and documents are made, so
both may be those of another commit.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tandem.orders.partition import partition_of
from tandem.orders.v1.order_command_service_pb2 import PlaceOrderRequest, PlaceOrderResponse

from bench.commands.calls import PLACE, closed_loop, orders, texts
from bench.commands.rows import make_write_model
from bench.commands.servers import command_service
from bench.harness.checkout import WORKING_TREE, Checkout
from bench.harness.servers import ReadServers
from bench.harness.stream import BARRIER, TEMPLATE, StoredMessage, Stream
from bench.reads.read_side import ReadModel, elasticsearch
from bench.reads.recorded_operations import operations_by_order
from bench.reads.request_recorder import recording
from bench.relay.run import running_relay

SAMPLES, LINES = 100, 3
#: The database in which the sample orders are placed.
NAME = "bench_samples"
#: Events between two barriers. The relay sends a barrier every second, in which a busy projector applies about as many.
EVENTS_PER_BARRIER = 5_000
#: The header that counts the events of a source.
POSITION = "Tandem-Position"
#: The most seconds that a projector may take for the sample orders.
PROJECTED_SECONDS = 60.0


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
        # Searches find a number by its parts in lower case, and by all of them joined. A part of digits only could also
        # be an amount.
        for part, other in zip(_parts(old), _parts(ids), strict=True):
            text = text if part.isdigit() else text.replace(part, other)
        return text


@dataclass(frozen=True, slots=True)
class SampledStream:
    """The real messages to copy: one per sample order, and a barrier; and the configuration of their stream.

    `ids` and `placed` are the ids and the requests of the sample orders. `bulk` has, for each of them, the lines by
    which a projector writes its documents in a `_bulk` request, with `@` in place of the indices' prefix.
    """

    configuration: Mapping[str, Any]
    events: Sequence[StoredMessage]
    barrier: StoredMessage
    ids: Sequence[Ids]
    placed: Sequence[PlaceOrderRequest]
    bulk: Sequence[bytes]

    def messages(self, count: int) -> Iterator[StoredMessage]:
        """Yields the messages of `count` orders, with barriers between them and one at the end."""
        samples = [_Sample.of(message, ids) for message, ids in zip(self.events, self.ids, strict=True)]
        for number, sample in zip(range(count), itertools.cycle(samples), strict=False):
            if number and number % EVENTS_PER_BARRIER == 0:
                yield self.barrier
            yield sample.numbered(number)
        yield self.barrier

    def operations(self) -> list[Template]:
        """Returns, per sample order, the lines with which a projector writes its documents in a `_bulk` request."""
        return [Template(lines, ids) for lines, ids in zip(self.bulk, self.ids, strict=True)]

    def barrier_now(self) -> StoredMessage:
        """Returns a barrier with the current time."""
        now = datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return StoredMessage(BARRIER, {**self.barrier.headers, "Tandem-Barrier-Time": now}, self.barrier.body, 0.0)


@dataclass(frozen=True, slots=True)
class _Sample:
    """A message that is copied. `varied` are the headers that contain one of its ids."""

    message: StoredMessage
    body: Template
    varied: Sequence[str]
    event_type: str

    @classmethod
    def of(cls, message: StoredMessage, ids: Ids) -> _Sample:
        """Finds out what differs in a copy."""
        own = (ids.order_id, ids.event_id, ids.request_id, ids.order_number)
        varied = [name for name, value in message.headers.items() if any(one in value for one in own)]
        return cls(message, Template(message.body, ids), varied, message.subject.rpartition(".")[2])

    def numbered(self, number: int) -> StoredMessage:
        """Returns the copy for the order with this number."""
        ids, old = Ids.of(number), self.message.headers
        headers = {**old, "Nats-Msg-Id": f"1:{ids.event_id}"}
        for name in self.varied:
            headers[name] = Template(old[name].encode(), self.body.ids).with_ids(ids).decode()
        if POSITION in headers:
            headers[POSITION] = str(number + 1)
        subject = TEMPLATE.format(partition=partition_of(ids.order_id), event_type=self.event_type)
        return StoredMessage(subject, headers, self.body.with_ids(ids), 0.0)


def sample_orders() -> list[PlaceOrderRequest]:
    """Returns SAMPLES requests for orders of LINES lines."""
    placed = (order for order in orders(40 * SAMPLES) if len(order.lines) == LINES)
    return list(itertools.islice(placed, SAMPLES))


async def sample_stream(
    servers: ReadServers, placed: Sequence[PlaceOrderRequest] = (), checkout: Checkout = WORKING_TREE
) -> SampledStream:
    """Places the orders, lets a relay publish and a projector read them, and deletes the stream again.

    `checkout` is the code that all services run. Without orders, it places `sample_orders`. Their database is NAME.
    """
    name = NAME if checkout is WORKING_TREE else f"{NAME}_{checkout.name}"
    url, placed = await make_write_model(servers, name, 0, checkout), placed or sample_orders()
    async with command_service(servers.directory / name, url, checkout) as service:
        _, answers = await closed_loop(service.address, PLACE, texts(placed), 8)
    orders_placed = [PlaceOrderResponse.FromString(answer).order for answer in answers]
    numbers = {order.order_id: order.order_number for order in orders_placed}
    async with Stream(servers.nats.url) as nats:
        async with running_relay(servers.directory / f"{name}-relay", url, servers.nats.url, "wal", checkout) as relay:
            await relay.wait_until_publishing("wal")
            if not await nats.wait_for_events(SAMPLES, 30.0):
                raise RuntimeError(f"{await nats.events()} of {SAMPLES} sample events stored")
        configuration = await nats.configuration()
        found, sequence = list[StoredMessage](), 1
        while len(found) < SAMPLES:
            message, sequence = await nats.next_event(sequence)
            found.append(_unfenced(message))
        barrier = _unfenced(await nats.message({"last_by_subj": BARRIER}))
        bulk = await _bulk_operations(servers, nats, list(numbers), checkout)
        await nats.drop()
    requests = {request.order_id: request for request in placed}
    ids = [_ids_of(message, requests, numbers) for message in found]
    return SampledStream(
        configuration, found, barrier, ids, placed=[requests[one.order_id] for one in ids],
        bulk=[bulk[one.order_id] for one in ids],
    )  # fmt: skip


async def _bulk_operations(
    servers: ReadServers, nats: Stream, order_ids: Sequence[str], checkout: Checkout
) -> dict[str, bytes]:
    """Lets a projector read the stream into indices of its own, and returns what it writes for each order."""
    async with recording(servers.elasticsearch.url, "/_bulk") as recorder, asyncio.timeout(PROJECTED_SECONDS):
        model = ReadModel(servers, f"samples-{checkout.name.replace(' ', '-')}", recorder.url, checkout=checkout)
        await model.migrate()
        async with model.projecting():
            while await nats.unprojected(model.name):  # noqa: ASYNC110 - the server cannot tell
                await asyncio.sleep(0.1)
    async with elasticsearch(servers.elasticsearch.url) as connection:
        await model.drop(connection)
    return operations_by_order([one.body for one in recorder.requests], order_ids, f"{model.name}-")


def _ids_of(message: StoredMessage, placed: Mapping[str, PlaceOrderRequest], numbers: Mapping[str, str]) -> Ids:
    order_id = next(order_id for order_id in placed if order_id.encode() in message.body)
    return Ids(order_id, message.headers["ce-id"], placed[order_id].request_id, numbers[order_id])


def _unfenced(message: StoredMessage) -> StoredMessage:
    kept = {name: value for name, value in message.headers.items() if not name.startswith("Nats-")}
    return StoredMessage(message.subject, kept, message.body, message.at)


def _uuid(text: str) -> str:
    chance = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    return f"{chance[:8]}-{chance[8:12]}-7{chance[13:16]}-a{chance[17:20]}-{chance[20:]}"


def _parts(ids: Ids) -> list[bytes]:
    return ids.order_number.lower().encode().split(b"-")
