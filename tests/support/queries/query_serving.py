"""Runs a query server inside the test process, and queries it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health_pb2
from tandem.orders.consistency_token import ConsistencyToken, encode
from tandem.orders.errors import (
    from_rpc_error,
)
from tandem.orders.partition import partition_of
from tandem.orders.v1 import order_query_service_pb2 as contract
from tandem.orders.v1 import order_query_service_pb2_grpc as stubs

from query_service.application.freshness.notice_board import Wake
from query_service.application.ports.read_store import Freshness, ParkedEvent
from query_service.bootstrap import serve
from query_service.handlers.grpc.order_queries import SERVICE
from query_service.projection.errors import Unprojectable
from query_service.projection.project import project
from query_service.projection.stream_event import read_event
from tests.support.queries.order_events import PublishedEvent, an_order, published
from tests.support.queries.read_side import ReadSide, eventually

UNKNOWN = "5f0c7b1e-7c3a-4d6e-9b2a-3f5e8c1d2a4b"


class Server:
    """A server's address and its clients."""

    def __init__(self, channel: grpc.aio.Channel, stop: asyncio.Event) -> None:
        self.channel = channel
        self._stop = stop
        self.stub: stubs.OrderQueryServiceAsyncStub = stubs.OrderQueryServiceStub(channel)

    async def get(self, order_id: str, *, timeout: float = 60, **fields: Any) -> contract.GetOrderResponse:
        """Calls GetOrder; raises refusals as the client library's exceptions."""
        try:
            return await self.stub.GetOrder(contract.GetOrderRequest(order_id=order_id, **fields), timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None

    async def health(self) -> int:
        """Returns the health that balancers see."""
        check = self.channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        answer = await check(health_pb2.HealthCheckRequest(service=SERVICE.full_name), timeout=60)
        return int(answer.status)

    def stop(self) -> None:
        """Begins to stop the server; the clients stay open."""
        self._stop.set()

    async def is_serving(self) -> bool:
        """Whether the health is SERVING."""
        return await self.health() == health_pb2.HealthCheckResponse.SERVING

    async def hears(self) -> bool:
        """Whether the server receives notices."""
        status = await self.stub.GetReadModelStatus(contract.GetReadModelStatusRequest(), timeout=60)
        return status.pending_events >= 0


class Waits:
    """Records the waits for notices in this process: the seconds that each may take, and how it ended."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.noticed: list[bool] = []
        self._begun = asyncio.Event()

    async def begun(self) -> None:
        """Waits until a query has found something missing and waits for it."""
        await asyncio.wait_for(self._begun.wait(), 120)

    async def one(self, wait: Callable[[], Awaitable[bool]], seconds: float) -> bool:
        """Runs one wait and records it."""
        self.seconds.append(seconds)
        self._begun.set()
        self.noticed.append(await wait())
        return self.noticed[-1]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    """Records waits from now on."""
    watched, wait = Waits(), Wake.wait

    async def watching(self: Wake, seconds: float) -> bool:
        return await watched.one(lambda: wait(self, seconds), seconds)

    monkeypatch.setattr(Wake, "wait", watching)
    return watched


@asynccontextmanager
async def serving(side: ReadSide, port: int, **changes: Any) -> AsyncIterator[Server]:
    """Runs a server in this process within the block."""
    stop = asyncio.Event()
    settings = side.settings(listen=f"127.0.0.1:{port}", shutdown_grace_seconds=30, **changes)
    task = asyncio.create_task(serve(settings, stop))
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await asyncio.wait_for(channel.channel_ready(), 120)
            server = Server(channel, stop)
            if "elasticsearch_url" not in changes:
                await eventually(server.is_serving, "serving")
                if "nats_url" not in changes:
                    await eventually(server.hears, "a connection for notices")
            try:
                yield server
            finally:
                stop.set()
                await asyncio.wait_for(task, 120)
    finally:
        task.cancel()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(shared_read_side: ReadSide, unused_tcp_port_factory: Callable[[], int]) -> AsyncIterator[Server]:
    """Yields a running server without a freshness claim."""
    async with serving(shared_read_side, unused_tcp_port_factory()) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def own_server(read_side: ReadSide, unused_tcp_port: int) -> AsyncIterator[Server]:
    """Yields such a server on the test's own read side."""
    async with serving(read_side, unused_tcp_port) as running:
        yield running


def names(event: PublishedEvent, version: int | None = None, epoch: int = 1) -> str:
    """Returns the token of the command that recorded this event."""
    return encode(ConsistencyToken(epoch, {event.order_id: version or event.version}))


def options(text: str = "", seconds: float | None = None, *, stale: bool = False) -> contract.ReadOptions:
    wait = None
    if seconds is not None:
        wait = Duration()
        wait.FromTimedelta(timedelta(seconds=seconds))
    on_timeout = contract.ON_TIMEOUT_RETURN_STALE if stale else contract.ON_TIMEOUT_FAIL
    return contract.ReadOptions(consistency_token=text, max_wait=wait, on_timeout=on_timeout)


async def apply(side: ReadSide, *events: PublishedEvent) -> None:
    """Writes events as a projector does, without notices."""
    await side.store.apply([project(read_event(event.headers, event.body)) for event in events])


async def notify(side: ReadSide, event: PublishedEvent, kind: str = "applied") -> None:
    """Sends a notice as a projector does."""
    subject = f"tandem.{side.subject}.projector.g1.{kind}.{partition_of(event.order_id)}"
    await side.client.publish(subject, f'[["{event.order_id}",{event.version}]]'.encode())


def freshness(as_of: datetime, epoch: int = 1) -> Freshness:
    return Freshness(round(as_of.timestamp() * 1_000_000), epoch, "g1", 1, 1)


def versions_of(count: int) -> list[PublishedEvent]:
    first = published(an_order())
    return [first, *(published(an_order(first.order_id, version)) for version in range(2, count + 1))]


def a_parked(event: PublishedEvent) -> ParkedEvent:
    return ParkedEvent(
        event.order_id, event.version, event.event_id, event.event_type, "S", 1, 1, 1, Unprojectable.UNMAPPABLE, "x"
    )


def at(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


async def knows_freshness(server: Server, event: PublishedEvent) -> bool:
    return (await server.get(event.order_id)).read_info.HasField("as_of")
