"""Checks for tests of the projector: the read model, notices, the consumer, the probes."""

import asyncio
import json
import random
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from elasticsearch import AsyncElasticsearch
from nats.aio.msg import Msg
from tandem.orders.v1.order_types_pb2 import Order

from tests.support.queries.order_events import PublishedEvent, an_order, published
from tests.support.queries.read_side import QueryProcess, ReadSide, eventually


def events_of(orders: int, versions: int, *, seed: int = 0) -> list[PublishedEvent]:
    """Returns events of several orders, interleaved; each order's events are sorted by version."""
    ids = [str(uuid.uuid4()) for _ in range(orders)]
    events = [published(an_order(order_id, version)) for version in range(1, versions + 1) for order_id in ids]
    return events if not seed else random.Random(seed).sample(events, len(events))


async def is_complete(side: ReadSide, events: list[PublishedEvent]) -> bool:
    """Whether every order is at its highest version and every event has its entry."""
    highest: dict[str, PublishedEvent] = {}
    for event in sorted(events, key=lambda event: event.version):
        highest[event.order_id] = event
    if not await side.shows(list(highest.values())):
        return False
    for order_id, last in highest.items():
        entries = await side.store.entries(order_id, range(1, last.version + 1))
        if any(entry is None for entry in entries):
            return False
        [stored] = await side.store.orders([order_id])
        assert stored.document is not None
        assert Order.FromString(stored.document["order"]) == last.order
    return True


@asynccontextmanager
async def notices(side: ReadSide, kind: str) -> AsyncIterator[list[tuple[str, int]]]:
    """Collects the notices of one kind."""
    received: list[tuple[str, int]] = []

    async def on_message(message: Msg) -> None:
        received.extend((order_id, version) for order_id, version in json.loads(message.data))

    subscription = await side.client.subscribe(f"tandem.{side.subject}.projector.g1.{kind}.*", cb=on_message)
    await side.client.flush()
    yield received
    await subscription.unsubscribe()


@asynccontextmanager
async def blocked(elasticsearch_url: str, index: str) -> AsyncIterator[None]:
    """Blocks writes to an index within the block."""
    async with AsyncElasticsearch(elasticsearch_url, request_timeout=120) as client:
        await client.indices.put_settings(index=index, settings={"index.blocks.write": True})
        try:
            yield
        finally:
            await client.indices.put_settings(index=index, settings={"index.blocks.write": None})


async def fill_disk(elasticsearch_url: str, prefix: str, *, full: bool = True) -> None:
    """Blocks all indices of an installation as Elasticsearch does when its disk is full, or takes that back.

    Elasticsearch takes the block back by itself when it looks at its disk, and finds room. So call it again and again.
    """
    async with AsyncElasticsearch(elasticsearch_url, request_timeout=120) as client:
        block = {"index.blocks.read_only_allow_delete": True if full else None}
        await client.indices.put_settings(index=f"{prefix}*", settings=block, expand_wildcards="all")


async def floor_reaches(side: ReadSide, sequence: int) -> bool:
    """Whether every message up to `sequence` is acknowledged."""
    return await side.ack_floor() >= sequence


async def claimed_as_of(side: ReadSide) -> int:
    """Waits for a freshness claim and returns its time, in microseconds since 1970."""

    async def known() -> bool:
        return await side.store.freshness() is not None

    await eventually(known, "a claim of freshness")
    freshness = await side.store.freshness()
    assert freshness is not None
    return freshness.as_of


def listening_address(process: QueryProcess, name: str) -> str:
    """Returns an address that the process wrote to its log."""
    for line in process.log.splitlines():
        entry = json.loads(line)
        if entry["event"] == "listening":
            return str(entry[name])
    raise AssertionError(process.log)


async def http_get(address: str, path: str) -> tuple[int, str]:
    """Returns status and body of a page."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split()[1]), body


async def drift_counts(probes: str, counter: str) -> dict[str, float]:
    """Returns what a projector has found, or `repaired`, since it was started: the number by kind, of `/metrics`."""
    status, page = await http_get(probes, "/metrics")
    assert (status, f"# TYPE projector_drift_{counter} counter" in page) == (200, True), page
    counted = re.findall(rf'^projector_drift_{counter}_total{{kind="(\w+)"}} (\S+)', page, re.MULTILINE)
    return {kind: float(number) for kind, number in counted}
