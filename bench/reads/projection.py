"""`make bench-projection`: measures how fast events become documents, and compares with what writes documents only.

BEFORE is a commit whose projector and documents are measured beside those of the working tree. Prints one JSON object
per claim and exits with 1 when one of them is false. ORDERS is the number of orders.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from tandem.orders.v1.order_command_service_pb2 import PlaceOrderRequest

from bench.harness.checkout import WORKING_TREE, Checkout, checked_out
from bench.harness.claim import Claim, Limit, at_least, at_most, compare, measured
from bench.harness.process_usage import cpu_seconds
from bench.harness.progress import tell
from bench.harness.report import report
from bench.harness.rounds import Figures, NotMeasured, Results, Run, interleave
from bench.harness.servers import ReadServers, running_read_servers
from bench.harness.settings import BenchSettings
from bench.harness.stream import Stream
from bench.harness.warming import warm
from bench.reads.helper_bulk import helper_bulk
from bench.reads.order_messages import SampledStream, sample_orders, sample_stream
from bench.reads.projection_run import projected
from bench.reads.pulling import pulled
from bench.reads.raw_bulk import raw_bulk
from bench.reads.read_side import ReadModel, numbered
from bench.reads.sync_peer import NAME as PEER
from bench.reads.sync_peer import SyncPeer
from devstack.servers import NatsServer, ServerError
from query_service.config import QuerySettings

OURS, RAW, TWO = "projector", "raw _bulk", "two projectors"
HELPER = "elasticsearch.helpers.async_streaming_bulk"
PULL, FETCH = "pull", "library fetch"
BEFORE = "the commit before"
#: How many requests a projector has unanswered at a time. Raw `_bulk` has as many.
REQUESTS = int(QuerySettings.model_fields["bulk_concurrency"].default)
#: On fewer cores, one projector and Elasticsearch have nothing left for another projector.
CORES_FOR_TWO = 4
#: The orders of each run that warms Elasticsearch up.
WARMING_ORDERS = 10_000
#: The documents of an order in a read model: the order, and its event.
DOCUMENTS = 2


@dataclass(frozen=True, slots=True)
class Version:
    """Code, and a stream that is full of its messages, on servers of its own where the messages may differ."""

    checkout: Checkout
    servers: ReadServers
    sampled: SampledStream

    def model(self, name: str) -> ReadModel:
        """Returns a read model that this code fills."""
        return ReadModel(self.servers, name, checkout=self.checkout)


async def main() -> int:
    """Measures, judges the claims, and returns the exit status."""
    settings = BenchSettings.load(orders=60_000)
    tell(settings.line(f"{settings.orders} orders"))
    async with running_read_servers() as servers, contextlib.AsyncExitStack() as stack:
        placed = sample_orders()
        now = await _version(WORKING_TREE, servers, placed, settings.orders)
        failures = dict[str, str]()
        contenders = _contenders(now, settings.orders)
        try:
            before = await stack.enter_async_context(_before(settings, servers, placed))
            old = {_before_of(name): run for name, run in _contenders(before, settings.orders).items()}
            contenders |= {name: run for name, run in old.items() if name in (_before_of(RAW), _before_of(OURS))}
        except (NotMeasured, ServerError, RuntimeError, TimeoutError, ValueError) as reason:
            failures = {_before_of(name): str(reason) or repr(reason) for name in (RAW, OURS)}
        peer = SyncPeer(settings, servers, settings.orders)
        await stack.enter_async_context(peer.ready())
        await warm(partial(_load, now), lambda: cpu_seconds(servers.elasticsearch.pid or 0))
        results = await interleave({**contenders, PEER: peer.sync}, settings.rounds, "projection")
        results.failures.update(failures)
    _tell_peer(results)
    return report({"projection": results}, _claims(results))


@contextlib.asynccontextmanager
async def _before(
    settings: BenchSettings, servers: ReadServers, placed: Sequence[PlaceOrderRequest]
) -> AsyncIterator[Version]:
    """Yields the version BEFORE, whose stream is on a NATS of its own."""
    if not settings.before:
        raise NotMeasured("no commit to compare with (set BEFORE=<commit>)")
    directory = servers.directory / "before"
    directory.mkdir()
    with checked_out(settings.before) as checkout:
        async with NatsServer(directory) as nats:
            yield await _version(checkout, replace(servers, nats=nats), placed, settings.orders)


async def _version(
    checkout: Checkout, servers: ReadServers, placed: Sequence[PlaceOrderRequest], orders: int
) -> Version:
    """Samples the messages of this code, and fills the stream with copies of them."""
    sampled = await sample_stream(servers, placed, checkout)
    started = time.monotonic()
    async with Stream(servers.nats.url) as nats:
        await nats.create(sampled.configuration)
        await nats.fill(sampled.messages(orders))
        state, events = await nats.state(), await nats.events()
    if events != orders:
        raise RuntimeError(f"the stream took {events} of {orders} events")
    size = state["bytes"] / state["messages"]
    tell(f"{checkout.name}: {events} events of {size:.0f} bytes in the stream after {time.monotonic() - started:.0f} s")
    return Version(checkout, servers, sampled)


def _contenders(version: Version, orders: int) -> dict[str, Run]:
    names = numbered("run" if version.checkout is WORKING_TREE else "before")
    operations = version.sampled.operations()

    async def raw() -> Figures:
        return await raw_bulk(version.model(next(names)), operations, orders, REQUESTS)

    async def helper() -> Figures:
        return await helper_bulk(version.model(next(names)), operations, orders)

    async def ours() -> Figures:
        return await projected(version.model(next(names)), orders)

    async def two() -> Figures:
        if (os.cpu_count() or 1) < CORES_FOR_TWO:
            raise NotMeasured(f"needs {CORES_FOR_TWO} cores, this machine has {os.cpu_count()}")
        return await projected(version.model(next(names)), orders, 2)

    def pulling(way: str) -> Run:
        return lambda: pulled(version.servers.nats.url, way, orders)

    return {RAW: raw, OURS: ours, HELPER: helper, TWO: two, PULL: pulling("ours"), FETCH: pulling("library")}


def _before_of(contender: str) -> str:
    return f"{contender} of {BEFORE}"


async def _load(version: Version, seconds: float) -> int:
    """Indexes by raw `_bulk` for so many seconds. Returns the number of orders."""
    names, operations = numbered("warm"), version.sampled.operations()
    stop, done = time.perf_counter() + seconds, 0
    while time.perf_counter() < stop:
        await raw_bulk(version.model(next(names)), operations, WARMING_ORDERS, REQUESTS)
        done += WARMING_ORDERS
    return done


def _tell_peer(results: Results) -> None:
    """Prints the peer's figures per document and per byte, because its documents are fewer and smaller."""
    rate, size = (results.median(PEER, name) for name in ("rate", "bytes_per_document"))
    ours, ours_size = results.median(OURS, "rate"), results.median(RAW, "bytes_per_event")
    if rate and size and ours and ours_size:
        for name, documents, size_of_all in ((PEER, rate, rate * size), (OURS, ours * DOCUMENTS, ours * ours_size)):
            print(measured(f"projection: {name}", {"documents_per_s": documents, "bytes_per_s": size_of_all}))


def _claims(results: Results) -> list[Claim]:
    def claim(text: str, unit: str, figure: str, ours: str, theirs: str, limit: Limit) -> Claim:
        one, other = results.median(ours, figure), results.median(theirs, figure)
        return compare(f"projection: {text}", unit, one, other, limit, results.why_not(ours, theirs))

    rate, cpu = "rate", "cpu_us_per_event"
    return [
        claim(
            f"orders/s against raw _bulk of the same operations, {REQUESTS} requests in flight",
            "orders/s", rate, OURS, RAW, at_least(0.7),
        ),
        claim(f"orders/s against {HELPER} of the same documents", "orders/s", rate, OURS, HELPER, at_least(1.5)),
        claim(f"CPU of the projector per event against {BEFORE}", "us", cpu, OURS, _before_of(OURS), at_most(0.6)),
        claim(
            f"raw _bulk of the documents against raw _bulk of those of {BEFORE}",
            "orders/s", rate, RAW, _before_of(RAW), at_least(1.3),
        ),
        claim("orders/s of two projectors against one", "orders/s", rate, TWO, OURS, at_least(1.2)),
        claim(
            "CPU of taking and acknowledging an event, against the library's fetch and ack",
            "us/event", cpu, PULL, FETCH, at_most(0.5),
        ),
        claim(f"orders/s against {PEER}", "orders/s", rate, OURS, PEER, at_least(3)),
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
