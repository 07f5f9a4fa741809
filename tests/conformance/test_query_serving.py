"""The serving process on real stores, asked over gRPC."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
import pytest_asyncio
from elasticsearch import AsyncElasticsearch
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health_pb2
from tandem.orders.consistency_token import ConsistencyToken, encode
from tandem.orders.errors import (
    DependencyUnavailable,
    InvalidRequest,
    NotImplementedYet,
    OrderError,
    OrderNotFound,
    OrderParked,
    ReadModelBehind,
    TokenFromOtherSource,
    TokenMalformed,
    VersionNotFound,
    from_rpc_error,
)
from tandem.orders.partition import partition_of
from tandem.orders.v1 import order_query_service_pb2 as contract
from tandem.orders.v1 import order_query_service_pb2_grpc as stubs

from query_service.application import await_versions
from query_service.application.read_store import Freshness, ParkedEvent
from query_service.bootstrap import serve
from query_service.handlers.order_queries import SERVICE
from query_service.projection.errors import Unprojectable
from query_service.projection.project import project
from query_service.projection.stream_event import read_event
from tests.fixtures.order_events import START, PublishedEvent, an_order, published
from tests.fixtures.read_side import ReadSide, empty_read_side, eventually, read_side, shared_read_side

__all__ = ["empty_read_side", "read_side", "shared_read_side"]

UNKNOWN = "5f0c7b1e-7c3a-4d6e-9b2a-3f5e8c1d2a4b"


class Server:
    """A serving process's address and its clients."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.stub: stubs.OrderQueryServiceAsyncStub = stubs.OrderQueryServiceStub(channel)

    async def get(self, order_id: str, *, timeout: float = 10, **fields: Any) -> contract.GetOrderResponse:
        """GetOrder; refusals are raised as the client library's exceptions."""
        try:
            return await self.stub.GetOrder(contract.GetOrderRequest(order_id=order_id, **fields), timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None

    async def health(self) -> int:
        """What balancers are told of the query service."""
        check = self.channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        answer = await check(health_pb2.HealthCheckRequest(service=SERVICE.full_name), timeout=5)
        return int(answer.status)

    async def is_serving(self) -> bool:
        """Whether balancers are told to send calls."""
        return await self.health() == health_pb2.HealthCheckResponse.SERVING


@asynccontextmanager
async def serving(side: ReadSide, port: int, **changes: Any) -> AsyncIterator[Server]:
    """A serving process in this one, within the block."""
    stop = asyncio.Event()
    settings = side.settings(listen=f"127.0.0.1:{port}", shutdown_grace_seconds=2, **changes)
    task = asyncio.create_task(serve(settings, stop))
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await asyncio.wait_for(channel.channel_ready(), 10)
            server = Server(channel)
            if "elasticsearch_url" not in changes:
                await eventually(server.is_serving, "serving")
            try:
                yield server
            finally:
                stop.set()
                await asyncio.wait_for(task, 15)
    finally:
        task.cancel()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(shared_read_side: ReadSide, unused_tcp_port_factory: Callable[[], int]) -> AsyncIterator[Server]:
    """A serving process that serves, and knows no freshness."""
    async with serving(shared_read_side, unused_tcp_port_factory()) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def own_server(read_side: ReadSide, unused_tcp_port: int) -> AsyncIterator[Server]:
    """The same on a read side of the test's own."""
    async with serving(read_side, unused_tcp_port) as running:
        yield running


def names(event: PublishedEvent, version: int | None = None, epoch: int = 1) -> str:
    """The token that a command leaving this event behind gives."""
    return encode(ConsistencyToken(epoch, {event.order_id: version or event.version}))


def options(text: str = "", seconds: float | None = None, *, stale: bool = False) -> contract.ReadOptions:
    wait = None
    if seconds is not None:
        wait = Duration()
        wait.FromTimedelta(timedelta(seconds=seconds))
    on_timeout = contract.ON_TIMEOUT_RETURN_STALE if stale else contract.ON_TIMEOUT_FAIL
    return contract.ReadOptions(consistency_token=text, max_wait=wait, on_timeout=on_timeout)


async def apply(side: ReadSide, *events: PublishedEvent) -> None:
    """Writes events as a projector does, without telling anybody."""
    await side.store.apply([project(read_event(event.headers, event.body)) for event in events])


async def notify(side: ReadSide, event: PublishedEvent, kind: str = "applied") -> None:
    """Tells as a projector does."""
    subject = f"tandem.{side.subject}.{kind}.{partition_of(event.order_id)}"
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


# -- the order itself --------------------------------------------------------------------------------------------------


async def test_an_order_is_answered_whole(shared_read_side: ReadSide, server: Server) -> None:
    events = versions_of(3)
    await apply(shared_read_side, *events)
    response = await server.get(events[0].order_id.upper())
    assert response.order == events[2].order
    assert not response.read_info.stale
    assert not response.read_info.parked


async def test_an_unknown_order_is_not_found(server: Server) -> None:
    with pytest.raises(OrderNotFound) as refusal:
        await server.get(UNKNOWN)
    assert refusal.value.metadata == {"order_id": UNKNOWN}


async def test_an_order_at_a_version(shared_read_side: ReadSide, server: Server) -> None:
    events = versions_of(3)
    await apply(shared_read_side, *events)
    for event in events:
        assert (await server.get(event.order_id, version=event.version)).order == event.order
    with pytest.raises(VersionNotFound):
        await server.get(events[0].order_id, version=4)
    with pytest.raises(OrderNotFound):
        await server.get(UNKNOWN, version=1)


def at(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


async def test_an_order_as_it_was_at_a_time(read_side: ReadSide, own_server: Server) -> None:
    events = versions_of(3)
    await apply(read_side, *events)
    recorded = START + timedelta(days=1)  # version v is recorded v seconds later
    response = await own_server.get(events[0].order_id, read_time=at(recorded + timedelta(seconds=2.5)))
    assert response.order == events[1].order
    assert response.read_info.stale  # nobody knows yet that nothing more comes
    with pytest.raises(VersionNotFound, match="recorded later"):
        await own_server.get(events[0].order_id, read_time=at(recorded))
    with pytest.raises(OrderNotFound):
        await own_server.get(UNKNOWN, read_time=at(recorded))
    await read_side.store.record_freshness(freshness(recorded + timedelta(seconds=30)))
    await eventually(lambda: _knows_freshness(own_server, events[0]), "freshness")
    response = await own_server.get(events[0].order_id, read_time=at(recorded + timedelta(seconds=2.5)))
    assert not response.read_info.stale
    response = await own_server.get(events[0].order_id, read_time=at(recorded + timedelta(seconds=29)))
    assert response.read_info.stale


async def _knows_freshness(server: Server, event: PublishedEvent) -> bool:
    return (await server.get(event.order_id)).read_info.HasField("as_of")


# -- freshness ---------------------------------------------------------------------------------------------------------


async def test_answers_say_how_fresh_they_are(read_side: ReadSide, own_server: Server) -> None:
    event = published(an_order())
    await apply(read_side, event)
    info = (await own_server.get(event.order_id)).read_info
    assert (info.HasField("as_of"), info.HasField("staleness")) == (False, False)
    as_of = datetime.now(UTC) - timedelta(seconds=10)
    await read_side.store.record_freshness(freshness(as_of))
    await eventually(lambda: _knows_freshness(own_server, event), "freshness from the store")
    info = (await own_server.get(event.order_id)).read_info
    assert abs(info.as_of.ToDatetime(UTC) - as_of) < timedelta(milliseconds=1)
    assert timedelta(seconds=9) < info.staleness.ToTimedelta() < timedelta(seconds=60)
    assert info.generation == "g1"


async def test_a_notice_of_freshness_is_taken_at_once(read_side: ReadSide, own_server: Server) -> None:
    event = published(an_order())
    await apply(read_side, event)
    body = (
        '{"as_of":"2026-05-01T08:00:00.000001Z","generation":"g7","source_epoch":1,'
        '"stream_created_at":"2026-05-01T00:00:00Z","sequence":9}'
    )
    await read_side.client.publish(f"tandem.{read_side.subject}.as_of", body.encode())
    await eventually(lambda: _knows_freshness(own_server, event), "freshness from the notice", within=0.9)
    assert (await own_server.get(event.order_id)).read_info.generation == "g7"


# -- tokens ------------------------------------------------------------------------------------------------------------


async def test_a_token_that_is_met_does_not_wait(shared_read_side: ReadSide, server: Server) -> None:
    event = published(an_order(version=4))
    await apply(shared_read_side, event)
    for version in (1, 4):
        started = time.monotonic()
        response = await server.get(event.order_id, read_options=options(names(event, version), 5))
        assert response.order == event.order
        assert time.monotonic() - started < 1


async def test_a_waiting_answer_is_woken_by_the_notice(
    shared_read_side: ReadSide, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # without a notice it would look again only after the wait is over
    monkeypatch.setattr(await_versions.VersionWaiter.__init__, "__kwdefaults__", {"recheck": 60.0})
    event = published(an_order())
    async with serving(shared_read_side, unused_tcp_port) as server:
        waiting = asyncio.create_task(server.get(event.order_id, read_options=options(names(event), 5)))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await apply(shared_read_side, event)
        await asyncio.sleep(0.3)
        assert not waiting.done()  # nobody has told it
        told = time.monotonic()
        await notify(shared_read_side, event)
        assert (await waiting).order == event.order
        assert time.monotonic() - told < 1


async def test_a_lost_notice_costs_little(shared_read_side: ReadSide, server: Server) -> None:
    event = published(an_order())
    waiting = asyncio.create_task(server.get(event.order_id, read_options=options(names(event), 5)))
    await asyncio.sleep(0.1)
    await apply(shared_read_side, event)
    applied = time.monotonic()
    assert (await waiting).order == event.order
    assert time.monotonic() - applied < 1


@pytest.mark.parametrize("known", [False, True])
async def test_a_token_that_is_not_met_is_never_not_found(
    shared_read_side: ReadSide, server: Server, known: bool
) -> None:
    event = published(an_order(version=2))
    if known:
        await apply(shared_read_side, event)
    started = time.monotonic()
    with pytest.raises(ReadModelBehind) as refusal:
        await server.get(event.order_id, read_options=options(names(event, 3), 0.6))
    assert 0.55 < time.monotonic() - started < 2
    assert refusal.value.code is grpc.StatusCode.UNAVAILABLE
    assert refusal.value.metadata == {
        "order_id": event.order_id,
        "needed_version": "3",
        "current_version": "2" if known else "0",
    }


async def test_the_wait_ends_before_the_callers_deadline(server: Server) -> None:
    event = published(an_order())
    with pytest.raises(ReadModelBehind):
        await server.get(event.order_id, timeout=0.8, read_options=options(names(event), 5))


async def test_the_wait_is_two_seconds_when_not_said(server: Server) -> None:
    event = published(an_order())
    started = time.monotonic()
    with pytest.raises(ReadModelBehind):
        await server.get(event.order_id, read_options=options(names(event)))
    assert 1.9 < time.monotonic() - started < 4


async def test_a_caller_may_take_a_stale_answer(shared_read_side: ReadSide, server: Server) -> None:
    event = published(an_order())
    await apply(shared_read_side, event)
    response = await server.get(event.order_id, read_options=options(names(event, 2), 0.2, stale=True))
    assert response.order == event.order
    assert response.read_info.stale
    with pytest.raises(ReadModelBehind):  # there is nothing stale to give, and NOT_FOUND would be false
        await server.get(UNKNOWN, read_options=options(encode(ConsistencyToken(1, {UNKNOWN: 1})), 0.2, stale=True))


async def test_other_orders_of_a_token_do_not_hold_up_an_answer(shared_read_side: ReadSide, server: Server) -> None:
    event = published(an_order())
    await apply(shared_read_side, event)
    both = encode(ConsistencyToken(1, {event.order_id: 1, UNKNOWN: 7}))
    started = time.monotonic()
    assert (await server.get(event.order_id, read_options=options(both, 5))).order == event.order
    assert time.monotonic() - started < 1


async def test_a_version_that_the_token_names_is_waited_for(shared_read_side: ReadSide, server: Server) -> None:
    first, second = versions_of(2)
    await apply(shared_read_side, first)
    waiting = asyncio.create_task(server.get(first.order_id, version=2, read_options=options(names(second), 5)))
    await asyncio.sleep(0.1)
    await apply(shared_read_side, second)
    await notify(shared_read_side, second)
    assert (await waiting).order == second.order
    with pytest.raises(VersionNotFound):
        await server.get(first.order_id, version=3, read_options=options(names(second), 5))


async def test_a_version_that_a_faster_one_overtook_is_waited_for(shared_read_side: ReadSide, server: Server) -> None:
    first, second = versions_of(2)
    await apply(shared_read_side, second)
    with pytest.raises(ReadModelBehind):
        await server.get(first.order_id, version=1, read_options=options(seconds=0.2))
    between = at(START + timedelta(days=1, seconds=1.5))
    with pytest.raises(ReadModelBehind):
        await server.get(first.order_id, read_time=between, read_options=options(seconds=0.2))
    await apply(shared_read_side, first)
    assert (await server.get(first.order_id, version=1)).order == first.order
    assert (await server.get(first.order_id, read_time=between)).order == first.order


@pytest.mark.parametrize("text", ["x", "t1.", "t1.AAAA", "t1.!!!!"])
async def test_a_token_that_is_none_is_refused(server: Server, text: str) -> None:
    with pytest.raises(TokenMalformed):
        await server.get(UNKNOWN, read_options=options(text))


async def test_a_token_of_another_source_is_refused(read_side: ReadSide, own_server: Server) -> None:
    event = published(an_order(version=3), source_epoch=2)
    await apply(read_side, event)
    for epoch in (1, 3):
        started = time.monotonic()
        with pytest.raises(TokenFromOtherSource) as refusal:
            await own_server.get(event.order_id, read_options=options(names(event, 1, epoch), 0.3, stale=epoch == 1))
            # with no barrier yet, a later epoch can only be told from the order itself
        assert refusal.value.code is grpc.StatusCode.FAILED_PRECONDITION
        assert time.monotonic() - started < 2
        await read_side.store.record_freshness(freshness(START, epoch=2))
        await eventually(lambda: _knows_freshness(own_server, event), "freshness")
    assert (await own_server.get(event.order_id, read_options=options(names(event, 3, 2)))).order == event.order


async def test_a_token_of_the_source_to_come_is_honoured_once_it_is_followed(
    read_side: ReadSide, own_server: Server
) -> None:
    event = published(an_order(), source_epoch=2)
    await apply(read_side, published(an_order()))
    await read_side.store.record_freshness(freshness(START, epoch=1))
    await asyncio.sleep(1.2)
    waiting = asyncio.create_task(own_server.get(event.order_id, read_options=options(names(event, epoch=2), 5)))
    await asyncio.sleep(0.2)
    await apply(read_side, event)
    await read_side.store.record_freshness(freshness(START + timedelta(seconds=1), epoch=2))
    assert (await waiting).order == event.order


# -- parked ------------------------------------------------------------------------------------------------------------


async def test_a_parked_version_is_told_at_once(shared_read_side: ReadSide, server: Server) -> None:
    first, second, third = versions_of(3)
    await apply(shared_read_side, first)
    waiting = asyncio.create_task(server.get(first.order_id, read_options=options(names(second), 5)))
    await asyncio.sleep(0.2)
    parked = time.monotonic()
    await shared_read_side.store.park(a_parked(second))
    await notify(shared_read_side, second, "parked")
    with pytest.raises(OrderParked) as refusal:
        await waiting
    assert time.monotonic() - parked < 1
    assert refusal.value.metadata == {"order_id": first.order_id, "parked_version": "2"}
    without_token = await server.get(first.order_id)
    assert (without_token.order.version, without_token.read_info.parked) == (1, True)
    stale = await server.get(first.order_id, read_options=options(names(second), 5, stale=True))
    assert (stale.read_info.stale, stale.read_info.parked) == (True, True)
    with pytest.raises(OrderParked):
        await server.get(first.order_id, version=2)
    await apply(shared_read_side, third)
    healed = await server.get(first.order_id, read_options=options(names(second), 5))
    assert (healed.order.version, healed.read_info.parked) == (3, False)
    with pytest.raises(OrderParked):
        await server.get(first.order_id, version=2)


async def test_an_order_of_which_all_is_parked_is_not_unknown(shared_read_side: ReadSide, server: Server) -> None:
    event = published(an_order())
    await shared_read_side.store.park(a_parked(event))
    for fields in ({}, {"version": 1}, {"read_time": at(START)}):
        with pytest.raises(OrderParked):
            await server.get(event.order_id, **fields)


# -- bad requests, missing parts ---------------------------------------------------------------------------------------


async def test_all_that_is_wrong_is_named_at_once(server: Server) -> None:
    neither: Any = 9
    wrong = contract.GetOrderRequest(
        order_id="7",
        version=-1,
        read_options=contract.ReadOptions(
            max_wait=Duration(seconds=6), on_timeout=neither, consistency_token="x" * 9000
        ),
    )
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await server.stub.GetOrder(wrong)
    error = from_rpc_error(refusal.value)
    assert isinstance(error, InvalidRequest)
    assert {violation.field for violation in error.violations} == {
        "order_id",
        "version",
        "read_options.max_wait",
        "read_options.on_timeout",
        "read_options.consistency_token",
    }


async def test_methods_to_come_say_so(server: Server) -> None:
    to_come = {method.name for method in SERVICE.methods} - {"GetOrder"}
    assert "SearchOrders" in to_come
    for name in to_come:
        call: grpc.aio.UnaryUnaryMultiCallable[None, bytes] = server.channel.unary_unary(
            f"/{SERVICE.full_name}/{name}", request_serializer=_empty
        )
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await call(None)
        error = from_rpc_error(refusal.value)
        assert isinstance(error, NotImplementedYet), name
        assert error.code is grpc.StatusCode.UNIMPLEMENTED


def _empty(_: Any) -> bytes:
    return b""


async def test_without_nats_reading_goes_on(read_side: ReadSide, unused_tcp_port_factory: Callable[[], int]) -> None:
    event = published(an_order())
    nowhere = f"nats://127.0.0.1:{unused_tcp_port_factory()}"
    async with serving(read_side, unused_tcp_port_factory(), nats_url=nowhere) as server:
        waiting = asyncio.create_task(server.get(event.order_id, read_options=options(names(event), 5)))
        await asyncio.sleep(0.2)
        await apply(read_side, event)
        assert (await waiting).order == event.order
        await read_side.store.record_freshness(freshness(START))
        await eventually(lambda: _knows_freshness(server, event), "freshness from the store")


async def test_without_elasticsearch_it_is_unavailable_and_says_so(
    shared_read_side: ReadSide, unused_tcp_port_factory: Callable[[], int]
) -> None:
    nowhere = f"http://127.0.0.1:{unused_tcp_port_factory()}"
    async with serving(shared_read_side, unused_tcp_port_factory(), elasticsearch_url=nowhere) as server:
        for fields in (
            {},
            {"version": 1},
            {"read_time": at(START)},
            {"read_options": options(encode(ConsistencyToken(1, {UNKNOWN: 1})), 5)},
        ):
            started = time.monotonic()
            with pytest.raises(DependencyUnavailable) as refusal:
                await server.get(UNKNOWN, timeout=2, **fields)
            assert time.monotonic() - started < 2
            assert (refusal.value.code, refusal.value.metadata) == (
                grpc.StatusCode.UNAVAILABLE,
                {"dependency": "elasticsearch"},
            )
            assert "127.0.0.1" not in refusal.value.message
        assert not await server.is_serving()


async def test_an_elasticsearch_that_hangs_does_not_hang_callers(
    shared_read_side: ReadSide, unused_tcp_port: int
) -> None:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    hole = await asyncio.start_server(silence, "127.0.0.1", 0)
    port = hole.sockets[0].getsockname()[1]
    try:
        async with serving(shared_read_side, unused_tcp_port, elasticsearch_url=f"http://127.0.0.1:{port}") as server:
            for timeout in (0.4, 10.0):
                started = time.monotonic()
                with pytest.raises(DependencyUnavailable) as refusal:
                    await server.get(UNKNOWN, timeout=timeout)
                assert refusal.value.metadata == {"dependency": "elasticsearch"}
                assert time.monotonic() - started < min(timeout, 4.0)
    finally:
        hole.close()


async def test_a_missing_index_is_unavailable_not_an_absence(
    read_side: ReadSide, own_server: Server, elasticsearch_url: str
) -> None:
    async with AsyncElasticsearch(elasticsearch_url) as client:
        await client.indices.delete(index=f"{read_side.store.names.orders}-g1")
    with pytest.raises(OrderError) as refusal:
        await own_server.get(UNKNOWN)
    assert (refusal.value.code, refusal.value.reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")


async def test_a_waiting_call_is_answered_at_a_stop(shared_read_side: ReadSide, unused_tcp_port: int) -> None:
    event = published(an_order())
    async with serving(shared_read_side, unused_tcp_port) as server:
        waiting = asyncio.create_task(server.get(event.order_id, read_options=options(names(event), 1)))
        await asyncio.sleep(0.2)
    with pytest.raises(ReadModelBehind):
        await waiting


# -- the whole read side -----------------------------------------------------------------------------------------------


async def test_every_event_is_readable_with_its_token(read_side: ReadSide, own_server: Server) -> None:
    """From the stream to the reader, a projector between them: with the token never a miss, and without it misses."""
    events = [event for _ in range(40) for event in versions_of(3)]
    stale = 0
    async with read_side.projecting():
        for event in events:
            await read_side.publish(event)
            try:
                without = await own_server.get(event.order_id)
                stale += without.order.version < event.version
            except OrderNotFound:
                stale += 1
            response = await own_server.get(event.order_id, read_options=options(names(event), 5))
            assert response.order == event.order
    assert stale > 0


async def test_the_memory_store_serves_what_it_projects_itself(read_side: ReadSide, unused_tcp_port: int) -> None:
    events = versions_of(3)
    await read_side.publish(*events)
    async with serving(read_side, unused_tcp_port, read_store="memory") as server:
        response = await server.get(events[0].order_id, read_options=options(names(events[2]), 5))
        assert response.order == events[2].order
        await read_side.publish_barrier(START)
        await eventually(lambda: _knows_freshness(server, events[0]), "freshness")
