"""`make bench-queries`: compares queries with an empty call and their requests to Elasticsearch over bare connections.

Prints one JSON object per claim and exits with 1 when one of them is false. ORDERS is the size of the read model.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial

from bench.commands.calls import CALLERS, closed_loop
from bench.commands.contenders import timed_calls
from bench.commands.cost_claims import at, cost_claim
from bench.commands.servers import Serving, bare_server
from bench.harness.claim import Claim, at_most
from bench.harness.process_usage import cpu_seconds
from bench.harness.progress import tell
from bench.harness.report import report
from bench.harness.rounds import Results, Run, interleave
from bench.harness.servers import ReadServers, running_read_servers
from bench.harness.settings import BenchSettings
from bench.harness.stream import Stream
from bench.harness.warming import warm
from bench.reads.direct_calls import bare_loop, client_loop
from bench.reads.order_messages import SampledStream, sample_stream
from bench.reads.questions import GET, SUMMARIZE, Kind, Questions
from bench.reads.read_side import ReadModel
from bench.reads.request_recorder import Recorded, recording

#: How many times as long as an empty call and its requests alone a query may take.
LIMITS = {"GetOrder": 1.3, "SearchOrders": 1.2, "SummarizeOrders": 1.3}
LOADED_SECONDS = 300.0
#: Months of UTC are stored with each order. Those of another zone are found by their boundaries in time.
ZONES = ("UTC", "Europe/Berlin")
ZONE_CALLERS = 16
#: Queries over many orders are slow, so a run has this many times fewer of them. One caller is slow, too.
LISTS_SHARE, ONE_CALLERS_SHARE = 4, 2
WARMING_CALLS, WARMING_CALLERS = 100, 16
#: Callers at which the same requests are also sent by the services' client, which is told beside.
BY_CLIENT_CALLERS = 16
RECORDED, EACH = "recorded requests", "a GET for each"


@dataclass(frozen=True, slots=True)
class Alone:
    """Requests to Elasticsearch for a number of calls, and how many of them are under way at a time."""

    requests: Sequence[Recorded]
    calls: int
    at_once: int


@dataclass(frozen=True, slots=True)
class Beside:
    """What a kind of query is compared with: an empty server whose answers have the same size, and its requests alone.

    `alone` has the contenders by name.
    """

    empty: Serving
    alone: dict[str, Alone]


async def main() -> int:
    """Measures, judges the claims, and returns the exit status."""
    settings = BenchSettings.load(orders=20_000)
    tell(settings.line(f"{settings.calls} calls", f"{settings.orders} orders"))
    async with running_read_servers() as servers, contextlib.AsyncExitStack() as stack:
        sampled = await sample_stream(servers)
        questions = Questions(sampled, settings.orders)
        model = await stack.enter_async_context(_loaded(servers, sampled, settings.orders))
        beside = {name: await _beside(stack, model, questions, name, settings) for name in questions.kinds}
        ours = await stack.enter_async_context(model.serving())
        await warm(partial(_load, questions, ours), lambda: cpu_seconds(servers.elasticsearch.pid or 0), "query")
        results = await interleave(_contenders(settings, model, questions, ours, beside), settings.rounds, "queries")
    return report({"queries": results}, [_claim(results, name) for name in questions.kinds])


async def _load(questions: Questions, server: Serving, seconds: float) -> int:
    """Asks queries of all kinds in turn for so many seconds. Returns how many."""
    stop, done = time.perf_counter() + seconds, 0
    while time.perf_counter() < stop:
        for kind in questions.kinds.values():
            await closed_loop(server.address, kind.method, kind.asked(WARMING_CALLS), WARMING_CALLERS)
            done += WARMING_CALLS
    return done


def _count(settings: BenchSettings, kind: Kind, callers: int) -> int:
    share = (1 if kind.method == GET else LISTS_SHARE) * (ONE_CALLERS_SHARE if callers == 1 else 1)
    return max(64, settings.calls // share)


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
    stack: contextlib.AsyncExitStack, model: ReadModel, questions: Questions, name: str, settings: BenchSettings
) -> Beside:
    """Sends queries once and records their requests to Elasticsearch. Returns what to compare the kind with.

    Look-ups by id share requests, and the more callers there are, the more of them share one. So they are recorded with
    as many callers as are measured.
    """
    kind = questions.kinds[name]
    suffix = "/_mget" if kind.method == GET else f"/{model.names.orders}/_search"
    alone = dict[str, Alone]()
    async with recording(model.servers.elasticsearch.url, suffix) as recorder:
        watched = ReadModel(model.servers, model.name, recorder.url)
        async with watched.serving() as server:
            for callers in CALLERS:
                count = _count(settings, kind, callers)
                recorder.forget()
                _, answers = await closed_loop(server.address, kind.method, kind.asked(count), callers)
                requests = recorder.requests[1:]  # the first one is of the call that opens the connection
                tell(f"{at(name, callers)}: {len(requests)} requests for {count} calls")
                at_once = recorder.most_unanswered if kind.method == GET else callers
                alone[at(_store(name, RECORDED), callers)] = Alone(requests, count, at_once)
                if kind.method == GET:
                    path = f"/{model.names.orders}/_doc/"
                    gets = [Recorded("GET", f"{path}{order_id}") for order_id in questions.order_ids(count)]
                    alone[at(_store(name, EACH), callers)] = Alone(gets, count, callers)
    size = round(statistics.median(len(answer) for answer in answers))
    return Beside(await stack.enter_async_context(bare_server("empty", size)), alone)


def _contenders(
    settings: BenchSettings, model: ReadModel, questions: Questions, ours: Serving, beside: dict[str, Beside]
) -> dict[str, Run]:
    url = model.servers.elasticsearch.url
    runs: dict[str, Run] = {}
    for callers in CALLERS:
        for name, kind in questions.kinds.items():
            asked = kind.asked(_count(settings, kind, callers))
            runs[at(_empty(name), callers)] = partial(timed_calls, beside[name].empty, kind.method, asked, callers)
            for way in _ways(name):
                alone = beside[name].alone[at(_store(name, way), callers)]
                runs[at(_store(name, way), callers)] = partial(
                    bare_loop, url, alone.requests, alone.calls, alone.at_once
                )
            if callers == BY_CLIENT_CALLERS:
                runs[at(f"{name}, by the services' client", callers)] = partial(
                    client_loop, url, alone.requests, alone.calls, alone.at_once
                )
            runs[at(name, callers)] = partial(timed_calls, ours, kind.method, asked, callers)
    for zone in ZONES:
        asked = questions.by_month(zone, settings.calls // LISTS_SHARE)
        name = f"SummarizeOrders by month of {zone}"
        runs[at(name, ZONE_CALLERS)] = partial(timed_calls, ours, SUMMARIZE, asked, ZONE_CALLERS)
    return runs


def _claim(results: Results, name: str) -> Claim:
    claim = f"{name}: time per call against an empty method and Elasticsearch alone, at 1, 16 and 64 callers"
    limit = at_most(LIMITS[name.partition(" ")[0]])
    return cost_claim(results, claim, name, _empty(name), [_store(name, way) for way in _ways(name)], limit)


def _ways(name: str) -> Sequence[str]:
    """Returns the ways to ask Elasticsearch alone, of which the cheapest is the floor."""
    return (RECORDED, EACH) if name == "GetOrder" else (RECORDED,)


def _empty(name: str) -> str:
    return f"empty method for {name}"


def _store(name: str, way: str) -> str:
    return f"{way} for {name}, bare"


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
