"""Measures the floor of each stage: the time that the stage needs without the others, on the same servers.

A stage is one step on an order's way from the command to the query, for example the publish of its event. Each stage is
called through the simplest client. Orders arrive as they do at the whole stack, at the same rate, and each goes through
the stages one after the other. So at a high rate the stages wait for each other's processor time as they must. Requests
that can be shared are: while one `_bulk` or one refresh is under way, orders that come share the next one.

The floor of a stage is the median of its times. The sum of the floors is the least time that an order can take through
the whole stack.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import statistics
import time
from collections.abc import AsyncIterator
from typing import Any

import nats
from nats.aio.client import Client

from bench.commands.rows import make_write_model
from bench.commands.servers import bare_server, command_service
from bench.end_to_end.caller import Caller, calling
from bench.end_to_end.shared_requests import SharedRequests
from bench.harness.bare_http import BareHttp
from bench.harness.open_loop import at_random, open_loop
from bench.harness.rounds import Figures, NotMeasured
from bench.harness.servers import ReadServers
from bench.reads.order_messages import Ids, SampledStream, Template
from bench.reads.read_side import ReadModel
from devstack.servers.ports import HOST

#: The size of a response with one order.
ANSWER_BYTES = 700
STREAM, SUBJECT = "BENCH_FLOORS", "floors.event"
#: The stages until an order can be read by id, and those until a search finds it.
READABLE_STAGES = ("place", "publish", "deliver", "bulk", "call", "get")
SEARCHABLE_STAGES = (*READABLE_STAGES, "refresh", "search")
WARM_UP_SECONDS = 3.0


class StageFloors:
    """Measures the stages. It holds the connections, messages and documents that they need."""

    def __init__(
        self, sampled: SampledStream, caller: Caller, client: Client, elasticsearch: BareHttp, prefix: str
    ) -> None:
        self._message, self._caller = sampled.events[0], caller
        self._client, self._elasticsearch, self._prefix = client, elasticsearch, prefix
        self._operations = [
            Template(one.text.replace(b'"@', f'"{prefix}'.encode()), one.ids) for one in sampled.operations()
        ]
        self._numbers, self._inbox = itertools.count(1), client.new_inbox()
        self._arrived: asyncio.Queue[Any] = asyncio.Queue()
        self._bulks, self._refreshes = SharedRequests(self._bulk), SharedRequests(self._refresh)

    async def prepare(self) -> None:
        """Creates the stream and its consumer, and runs all stages to warm up."""
        await self._client.subscribe(self._inbox, cb=self._arrived.put)
        subjects = {"name": STREAM, "subjects": [SUBJECT], "storage": "file"}
        consumer = {"durable_name": "floor", "ack_policy": "explicit", "max_ack_pending": -1}
        for api, body in (
            (f"STREAM.CREATE.{STREAM}", subjects),
            (f"CONSUMER.DURABLE.CREATE.{STREAM}.floor", {"stream_name": STREAM, "config": consumer}),
        ):
            answer = await self._client.request(f"$JS.API.{api}", json.dumps(body).encode(), timeout=10)
            if "error" in json.loads(answer.data):
                raise RuntimeError(f"the stream of floors cannot be made: {answer.data.decode()}")
        await self.measure(SEARCHABLE_STAGES, 10.0, WARM_UP_SECONDS)

    async def measure(self, stages: tuple[str, ...], rate: float, seconds: float) -> Figures:
        """Lets orders go through the stages at a rate in orders/s. Returns the median of each stage in ms, and the sum.

        `p50_ms` is the median of the whole, from the moment when an order was due.
        """
        works = {
            "place": self._place,
            "publish": self._publish,
            "deliver": self._deliver,
            "bulk": self._write,
            "call": self._call,
            "get": self._get,
            "refresh": self._refreshed,
            "search": self._search,
        }
        times: dict[str, list[float]] = {stage: [] for stage in stages}

        async def one() -> None:
            number = next(self._numbers)
            for stage in stages:
                started = time.perf_counter()
                await works[stage](number)
                times[stage].append(1e3 * (time.perf_counter() - started))

        self._caller.make_ready(round(1.3 * rate * seconds))
        whole = await open_loop(one, at_random(rate), seconds)
        medians = {f"{stage}_ms": statistics.median(found) for stage, found in times.items()}
        return {"sum_ms": sum(medians.values()), **medians, "p50_ms": whole["p50_ms"], "p99_ms": whole["p99_ms"]}

    async def _place(self, _: int) -> None:
        await self._caller.placed()

    async def _publish(self, _: int) -> None:
        headers = dict(self._message.headers)
        await self._client.request(SUBJECT, self._message.body, timeout=10, headers=headers)

    async def _deliver(self, _: int) -> None:
        """Fetches and acknowledges a message that is already in the stream."""
        asked = json.dumps({"batch": 1, "expires": 1_000_000_000}).encode()
        await self._client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.floor", asked, reply=self._inbox)
        message = await self._arrived.get()
        await self._client.publish(message.reply, b"+ACK")

    async def _write(self, number: int) -> None:
        """Writes both documents of one event to Elasticsearch."""
        await self._bulks.add(self._operations[number % len(self._operations)].with_ids(Ids.of(number)))

    async def _bulk(self, texts: list[bytes]) -> None:
        await self._asked("POST", "/_bulk?require_alias=true", b'"errors":false', b"".join(texts))

    async def _call(self, _: int) -> None:
        await self._caller.asked(b"")

    async def _get(self, number: int) -> None:
        await self._asked("GET", f"/{self._prefix}orders/_doc/{Ids.of(number).order_id}", b'"found":true')

    async def _refreshed(self, _: int) -> None:
        await self._refreshes.add(b"")

    async def _refresh(self, _: list[bytes]) -> None:
        await self._asked("POST", f"/{self._prefix}orders/_refresh", b'"failed":0')

    async def _search(self, number: int) -> None:
        query = {"bool": {"filter": [{"terms": {"order_id": [Ids.of(number).order_id]}}]}}
        order = [{"place_time": {"order": "desc"}}, {"order_id": {"order": "asc"}}]
        body = {"query": query, "sort": order, "size": 51, "track_total_hits": True}
        await self._asked("POST", f"/{self._prefix}orders/_search", b'"total":{"value":1,', json.dumps(body).encode())

    async def _asked(self, method: str, path: str, expected: bytes, body: bytes = b"") -> None:
        answer = await self._elasticsearch.request(method, path, body)
        if expected not in answer:
            raise NotMeasured(f"{method} {path}: {answer[:300].decode()}")


@contextlib.asynccontextmanager
async def stage_floors(servers: ReadServers, sampled: SampledStream, stream_name: str) -> AsyncIterator[StageFloors]:
    """Yields the prepared stages.

    They use a command service whose events no relay publishes, a stream that no projector reads, and indices that no
    query service reads. `stream_name` is any stream; indices are made only beside one.
    """
    url = await make_write_model(servers, "bench_floors", 0)
    model = ReadModel(servers, "floors", stream_name=stream_name)
    async with (
        command_service(servers.directory / "floors-command", url) as commands,
        bare_server("empty", ANSWER_BYTES) as empty,
        BareHttp(HOST, servers.elasticsearch.port) as elasticsearch,
        calling(commands.address, empty.address) as caller,
    ):
        client = await nats.connect(servers.nats.url)
        try:
            await model.migrate()
            floors = StageFloors(sampled, caller, client, elasticsearch, f"{model.name}-")
            await floors.prepare()
            yield floors
        finally:
            await client.close()
