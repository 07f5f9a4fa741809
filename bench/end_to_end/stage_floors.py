"""Measures the floor of each stage: the time that the stage needs alone, on the same servers.

A stage is one step on an order's way from the command to the query, for example the publish of its event. Each stage is
called through the simplest client, one call at a time, while nothing else runs. Its floor is the median of many calls.
The sum of the floors is the least time that an order can take through the whole stack.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import nats
from nats.aio.client import Client

from bench.commands.calls import channels
from bench.commands.rows import make_write_model
from bench.commands.servers import bare_server, command_service
from bench.end_to_end.whole_stack import Caller
from bench.harness.rounds import Figures
from bench.harness.servers import ReadServers
from bench.reads.order_messages import Ids, SampledStream, Template
from bench.reads.questions import GET
from bench.reads.read_side import ReadModel, elasticsearch
from query_service.storage.physical.connection import ElasticsearchConnection

GOES = 60
#: The size of a response with one order.
ANSWER_BYTES = 700
STREAM, SUBJECT = "BENCH_FLOORS", "floors.event"
Go = Callable[[], Awaitable[Any]]


class StageFloors:
    """Measures the stages. It holds the connections, messages and documents that they need."""

    def __init__(
        self,
        sampled: SampledStream,
        caller: Caller,
        empty: Any,
        client: Client,
        connection: ElasticsearchConnection,
        prefix: str,
    ) -> None:
        self._message, self._caller, self._empty = sampled.events[0], caller, empty
        self._client, self._connection, self._prefix = client, connection, prefix
        self._operations = [
            Template(one.text.replace(b'"@', f'"{prefix}'.encode()), one.ids) for one in sampled.operations()
        ]
        self._written, self._inbox = 0, ""
        self._arrived: asyncio.Queue[Any] = asyncio.Queue()

    async def prepare(self) -> None:
        """Creates the stream and its consumer, and runs all stages a few times to warm up."""
        inbox = self._inbox = self._client.new_inbox()
        await self._client.subscribe(inbox, cb=self._arrived.put)
        subjects = {"name": STREAM, "subjects": [SUBJECT], "storage": "file"}
        consumer = {"durable_name": "floor", "ack_policy": "explicit", "max_ack_pending": -1}
        for api, body in (
            (f"STREAM.CREATE.{STREAM}", subjects),
            (f"CONSUMER.DURABLE.CREATE.{STREAM}.floor", {"stream_name": STREAM, "config": consumer}),
        ):
            answer = await self._client.request(f"$JS.API.{api}", json.dumps(body).encode(), timeout=10)
            if "error" in json.loads(answer.data):
                raise RuntimeError(f"the stream of floors cannot be made: {answer.data.decode()}")
        await self.measure(5)

    async def measure(self, goes: int = GOES) -> Figures:
        """Runs each stage `goes` times. Returns the median of each stage in ms, and two sums of these medians.

        `readable_ms` is the sum until an order can be read by id, `searchable_ms` until a search finds the order.
        """
        stages: dict[str, Go] = {
            "place": self._caller.placed,
            "publish": self._publish,
            "deliver": self._deliver,
            "bulk": self._bulk,
            "call": self._call,
            "get": self._get,
            "refresh": self._refresh,
            "search": self._search,
        }
        times: dict[str, list[float]] = {stage: [] for stage in stages}
        for _ in range(goes):
            for stage, go in stages.items():
                started = time.perf_counter()
                await go()
                times[stage].append(1e3 * (time.perf_counter() - started))
        floors = {f"{stage}_ms": statistics.median(found) for stage, found in times.items()}
        readable = sum(floors[f"{stage}_ms"] for stage in ("place", "publish", "deliver", "bulk", "call", "get"))
        searchable = readable + floors["refresh_ms"] + floors["search_ms"]
        return {**floors, "readable_ms": readable, "searchable_ms": searchable}

    async def _publish(self) -> None:
        headers = dict(self._message.headers)
        await self._client.request(SUBJECT, self._message.body, timeout=10, headers=headers)

    async def _deliver(self) -> None:
        """Fetches and acknowledges a message that is already in the stream."""
        asked = json.dumps({"batch": 1, "expires": 1_000_000_000}).encode()
        await self._client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.floor", asked, reply=self._inbox)
        message = await self._arrived.get()
        await self._client.publish(message.reply, b"+ACK")

    async def _bulk(self) -> None:
        """Writes both documents of one event to Elasticsearch."""
        self._written += 1
        lines = self._operations[self._written % len(self._operations)].with_ids(Ids.of(self._written))
        await self._connection.request("POST", "/_bulk", params={"require_alias": "true"}, lines=lines)

    async def _call(self) -> None:
        await self._empty(b"")

    async def _get(self) -> None:
        await self._connection.request("GET", f"/{self._prefix}orders/_doc/{Ids.of(self._written).order_id}")

    async def _refresh(self) -> None:
        await self._connection.request("POST", f"/{self._prefix}orders/_refresh")

    async def _search(self) -> None:
        query = {"bool": {"filter": [{"terms": {"order_id": [Ids.of(self._written).order_id]}}]}}
        order = [{"place_time": {"order": "desc"}}, {"order_id": {"order": "asc"}}]
        body = {"query": query, "sort": order, "size": 51, "track_total_hits": True}
        await self._connection.request("POST", f"/{self._prefix}orders/_search", body=body)


@contextlib.asynccontextmanager
async def stage_floors(servers: ReadServers, sampled: SampledStream) -> AsyncIterator[StageFloors]:
    """Yields the prepared stages.

    They use a command service whose events no relay publishes, a stream that no projector reads, and indices that no
    query service reads.
    """
    url = await make_write_model(servers, "bench_floors", 0)
    model = ReadModel(servers, "floors")
    async with (
        command_service(servers.directory / "floors-command", url) as commands,
        bare_server("empty", ANSWER_BYTES) as empty,
        elasticsearch(servers.elasticsearch.url) as connection,
        channels(commands.address, 1) as command,
        channels(empty.address, 1) as bare,
    ):
        client = await nats.connect(servers.nats.url)
        try:
            await model.migrate()
            floors = StageFloors(
                sampled, Caller(command, command), bare[0].unary_unary(GET), client, connection, f"{model.name}-"
            )
            await floors.prepare()
            yield floors
        finally:
            await client.close()
