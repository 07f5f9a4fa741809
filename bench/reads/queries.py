"""`make bench-queries`: compares a query with an empty call, and with its requests to Elasticsearch sent directly.

Prints one JSON object per claim and exits with 1 when one of them is false. ORDERS is the size of the read model.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial

from bench.commands.calls import closed_loop
from bench.commands.servers import Serving, bare_server
from bench.harness.claim import Claim, at_most, compare
from bench.harness.process_usage import cpu_seconds
from bench.harness.progress import tell
from bench.harness.report import report
from bench.harness.rounds import Figures, Results, Run, interleave
from bench.harness.servers import ReadServers, running_read_servers
from bench.harness.settings import BenchSettings
from bench.harness.stream import Stream
from bench.reads.direct_calls import direct_loop
from bench.reads.order_messages import SampledStream, sample_stream
from bench.reads.questions import GET, SEARCH, SUMMARIZE, Questions
from bench.reads.read_side import ReadModel
from bench.reads.request_recorder import Recorded, recording

CALLERS = (1, 16, 64)
METHODS = (GET, SEARCH, SUMMARIZE)
LOADED_SECONDS = 300.0
#: Months of UTC are stored with each order. Those of another zone are found by their boundaries in time.
ZONES = ("UTC", "Europe/Berlin")
ZONE_CALLERS = 16
#: Queries over many orders are slow, so a run has this many times fewer of them.
LISTS_SHARE = 4


@dataclass(frozen=True, slots=True)
class Beside:
    """What a method is compared with: an empty server whose answers have the same size, and the recorded requests."""

    empty: Serving
    direct: Sequence[Recorded]


async def main() -> int:
    """Measures, judges the claims, and returns the exit status."""
    settings = BenchSettings.load(orders=20_000)
    tell(
        f"{settings.calls} calls, {settings.orders} orders, {settings.rounds} rounds, {os.cpu_count()} cores,"
        f" load {os.getloadavg()[0]:.1f}"
    )
    async with running_read_servers() as servers, contextlib.AsyncExitStack() as stack:
        sampled = await sample_stream(servers)
        questions = Questions(sampled, settings.orders)
        model = await stack.enter_async_context(_loaded(servers, sampled, settings.orders))
        beside = {
            method: await _beside(stack, model, questions, method, _count(settings, method)) for method in METHODS
        }
        ours = await stack.enter_async_context(model.serving())
        warming = _contenders(settings, model, questions, ours, beside)
        await interleave({f"warming: {name}": run for name, run in warming.items() if "16" in name}, 1, "queries")
        results = await interleave(_contenders(settings, model, questions, ours, beside), settings.rounds, "queries")
    claims = [_claim(results, GET, "direct GET"), _claim(results, SEARCH, "direct _search")]
    return report({"queries": results}, claims)


def _count(settings: BenchSettings, method: str) -> int:
    return settings.calls if method == GET else max(64, settings.calls // LISTS_SHARE)


@contextlib.asynccontextmanager
async def _loaded(servers: ReadServers, sampled: SampledStream, orders: int) -> AsyncIterator[ReadModel]:
    """Yields a read model with `orders` orders. A projector runs, and gets a barrier a second as from an idle relay."""
    model = ReadModel(servers, "queries")

    async def idle(nats: Stream) -> None:
        while True:
            await asyncio.sleep(1.0)
            await nats.publish(sampled.barrier_now())

    async with Stream(servers.nats.url) as nats:
        await nats.create(sampled.configuration)
        await nats.fill(sampled.messages(orders))
        await model.migrate()
        async with model.projecting(), asyncio.timeout(LOADED_SECONDS) as limit:
            while await nats.unprojected(model.name):  # noqa: ASYNC110 - the server cannot tell
                await asyncio.sleep(0.1)
            limit.reschedule(None)
            tell(f"{orders} orders are in")
            idling = asyncio.create_task(idle(nats))
            try:
                yield model
            finally:
                idling.cancel()


async def _beside(
    stack: contextlib.AsyncExitStack, model: ReadModel, questions: Questions, method: str, count: int
) -> Beside:
    """Sends each query once and records its requests to Elasticsearch. Returns what to compare the method with."""
    asked = questions.asked(method, count)
    suffix = "/_mget" if method == GET else f"/{model.names.orders}/_search"
    async with recording(model.servers.elasticsearch.url, suffix) as recorder:
        watched = ReadModel(model.servers, model.name, recorder.url)
        async with watched.serving() as server:
            _, answers = await closed_loop(server.address, method, asked, 4)
    direct: Sequence[Recorded] = recorder.requests
    if method == GET:
        path = f"/{model.names.orders}/_doc/"
        direct = [Recorded("GET", f"{path}{order_id}", {}, None) for order_id in questions.order_ids(count)]
    size = round(statistics.median(len(answer) for answer in answers))
    tell(f"{_name(method)}: answers of {size} bytes; {len(direct)} requests beside")
    return Beside(await stack.enter_async_context(bare_server("empty", size)), direct)


def _contenders(
    settings: BenchSettings, model: ReadModel, questions: Questions, ours: Serving, beside: dict[str, Beside]
) -> dict[str, Run]:
    url = model.servers.elasticsearch.url
    runs: dict[str, Run] = {}
    for callers in CALLERS:
        for method in METHODS:
            ask = partial(questions.asked, method, _count(settings, method))
            runs[_empty(method, callers)] = partial(_loop, beside[method].empty, method, ask(), callers)
            runs[_direct(method, callers)] = partial(direct_loop, url, beside[method].direct, callers)
            runs[_ours(method, callers)] = partial(_loop, ours, method, ask(), callers)
    for zone in ZONES:
        asked = questions.by_month(zone, _count(settings, SUMMARIZE))
        name = f"{_name(SUMMARIZE)} by month of {zone}, {ZONE_CALLERS} callers"
        runs[name] = partial(_loop, ours, SUMMARIZE, asked, ZONE_CALLERS)
    return runs


async def _loop(server: Serving, method: str, requests: Sequence[bytes], callers: int) -> Figures:
    """Returns the figures of `closed_loop`, and the server's CPU time per call in µs."""
    before = cpu_seconds(server.pid)
    figures, _ = await closed_loop(server.address, method, requests, callers)
    return {**figures, "server_cpu_us": 1e6 * (cpu_seconds(server.pid) - before) / len(requests)}


def _claim(results: Results, method: str, direct: str) -> Claim:
    names = (_ours(method, 16), _empty(method, 16), _direct(method, 16))
    ours, empty, beside = (results.median(name, "us_per_call") for name in names)
    floor = None if empty is None or beside is None else empty + beside
    claim = f"{_name(method)}, 16 callers: time per call against an empty method and {direct} by the same client"
    return compare(claim, "us", ours, floor, at_most(1.3), results.why_not(*names))


def _name(method: str) -> str:
    return method.rpartition("/")[2]


def _ours(method: str, callers: int) -> str:
    return f"{_name(method)}, {callers} callers"


def _empty(method: str, callers: int) -> str:
    return f"empty method for {_name(method)}, {callers} callers"


def _direct(method: str, callers: int) -> str:
    return f"Elasticsearch directly for {_name(method)}, {callers} callers"


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
