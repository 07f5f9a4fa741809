"""The serving process on real stores, asked over gRPC."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from elasticsearch import AsyncElasticsearch
from google.protobuf.duration_pb2 import Duration
from tandem.orders.consistency_token import ConsistencyToken, encode
from tandem.orders.errors import (
    DependencyUnavailable,
    InvalidRequest,
    OrderError,
    OrderNotFound,
    ReadModelBehind,
    VersionNotFound,
    from_rpc_error,
)
from tandem.orders.v1 import order_query_service_pb2 as contract

from query_service.handlers.grpc import call_terms
from query_service.projection.project import project
from query_service.projection.recorded_event import stream_event
from tests.support.queries.memory_source import MemorySource
from tests.support.queries.order_events import START, an_order, published
from tests.support.queries.query_serving import (
    UNKNOWN,
    Server,
    Waits,
    apply,
    at,
    freshness,
    knows_freshness,
    names,
    options,
    own_server,
    server,
    serving,
    versions_of,
    waits,
)
from tests.support.queries.read_side import ReadSide, empty_read_side, eventually, read_side, shared_read_side

__all__ = ["empty_read_side", "own_server", "read_side", "server", "shared_read_side", "waits"]


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


async def test_an_order_as_it_was_at_a_time(read_side: ReadSide, own_server: Server) -> None:
    events = versions_of(3)
    await apply(read_side, *events)
    recorded = START + timedelta(days=1)  # version v is recorded v seconds later
    response = await own_server.get(events[0].order_id, read_time=at(recorded + timedelta(seconds=2.5)))
    assert response.order == events[1].order
    assert response.read_info.not_final  # nobody knows yet that nothing more comes
    with pytest.raises(VersionNotFound, match="recorded later"):
        await own_server.get(events[0].order_id, read_time=at(recorded))
    with pytest.raises(OrderNotFound):
        await own_server.get(UNKNOWN, read_time=at(recorded))
    await read_side.store.record_freshness(freshness(recorded + timedelta(seconds=30)))
    await eventually(lambda: knows_freshness(own_server, events[0]), "freshness")
    response = await own_server.get(events[0].order_id, read_time=at(recorded + timedelta(seconds=2.5)))
    assert not response.read_info.not_final
    response = await own_server.get(events[0].order_id, read_time=at(recorded + timedelta(days=3_000)))
    assert (response.read_info.not_final, response.read_info.stale) == (True, False)
    response = await own_server.get(events[0].order_id, read_time=at(recorded + timedelta(seconds=29)))
    assert response.read_info.not_final


async def test_answers_say_how_fresh_they_are(read_side: ReadSide, own_server: Server) -> None:
    event = published(an_order())
    await apply(read_side, event)
    info = (await own_server.get(event.order_id)).read_info
    assert (info.HasField("as_of"), info.HasField("staleness")) == (False, False)
    as_of = datetime.now(UTC) - timedelta(seconds=10)
    await read_side.store.record_freshness(freshness(as_of))
    await eventually(lambda: knows_freshness(own_server, event), "freshness from the store")
    info = (await own_server.get(event.order_id)).read_info
    assert abs(info.as_of.ToDatetime(UTC) - as_of) < timedelta(milliseconds=1)
    assert timedelta(seconds=9) < info.staleness.ToTimedelta() < timedelta(seconds=60)
    assert info.generation == "g1"


async def test_a_notice_of_freshness_is_taken(read_side: ReadSide, own_server: Server) -> None:
    event = published(an_order())
    await apply(read_side, event)
    body = (
        '{"as_of":"2026-05-01T08:00:00.000001Z","generation":"g1","source_epoch":1,'
        '"stream_created_at":"2026-05-01T00:00:00Z","sequence":9}'
    )
    await read_side.client.publish(f"tandem.{read_side.subject}.projector.g1.as_of", body.encode())
    # The store knows of none, so it cannot have come from there.
    await eventually(lambda: knows_freshness(own_server, event), "freshness from the notice")
    assert (await own_server.get(event.order_id)).read_info.generation == "g1"


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


async def test_a_changed_history_is_found(shared_read_side: ReadSide, server: Server, elasticsearch_url: str) -> None:
    source = MemorySource()
    order_id = source.place(3)
    events = source.journals_by_id[order_id]
    await shared_read_side.store.apply([project(stream_event(event, 1)) for event in events])
    request = contract.VerifyOrderHistoryRequest(order_id=order_id, read_options=options(seconds=0.1))
    found = await server.stub.VerifyOrderHistory(request, timeout=60)
    assert (found.valid, found.verified_versions, found.order_version, found.finding) == (True, 3, 3, "")
    assert found.head_hash.hex() == events[-1].hash
    assert not found.read_info.stale
    prefix = shared_read_side.index_prefix
    async with AsyncElasticsearch(elasticsearch_url, request_timeout=120) as client:
        await client.update(index=f"{prefix}order-events", id=f"{order_id}/2", doc={"payload": '{"actor":"nobody"}'})
        await client.update(index=f"{prefix}orders", id=order_id, doc={"total": 7})
    found = await server.stub.VerifyOrderHistory(request, timeout=60)
    assert (found.valid, found.verified_versions, found.first_broken_version) == (False, 2, 2)
    assert [(finding.version, finding.copy) for finding in found.findings] == [
        (2, "journal entry"),
        (3, "order document"),
    ]
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await server.stub.VerifyOrderHistory(contract.VerifyOrderHistoryRequest(order_id=UNKNOWN), timeout=60)
    assert isinstance(from_rpc_error(refusal.value), OrderNotFound)


async def test_without_nats_reading_goes_on(read_side: ReadSide, unused_tcp_port: int, waits: Waits) -> None:
    event = published(an_order())
    async with serving(read_side, unused_tcp_port, nats_url="nats://127.0.0.1:1") as server:
        waiting = asyncio.create_task(server.get(event.order_id, read_options=options(names(event), 5)))
        await waits.begun()
        await apply(read_side, event)
        assert (await waiting).order == event.order
        await read_side.store.record_freshness(freshness(START))
        await eventually(lambda: knows_freshness(server, event), "freshness from the store")


async def test_without_elasticsearch_it_is_unavailable_and_says_so(
    shared_read_side: ReadSide, unused_tcp_port: int, waits: Waits
) -> None:
    async with serving(shared_read_side, unused_tcp_port, elasticsearch_url="http://127.0.0.1:1") as server:
        for fields in (
            {},
            {"version": 1},
            {"read_time": at(START)},
            {"read_options": options(encode(ConsistencyToken(1, {UNKNOWN: 1})), 5)},
        ):
            with pytest.raises(DependencyUnavailable) as refusal:
                await server.get(UNKNOWN, **fields)
            assert (refusal.value.code, refusal.value.metadata) == (
                grpc.StatusCode.UNAVAILABLE,
                {"dependency": "elasticsearch"},
            )
            assert "127.0.0.1" not in refusal.value.message
        assert waits.seconds == [], "no time would help"
        assert not await server.is_serving()


@pytest.mark.parametrize(("timeout", "read_timeout"), [(5.4, 20), (60.0, 2)], ids=["caller", "store"])
async def test_an_elasticsearch_that_hangs_does_not_hang_callers(
    shared_read_side: ReadSide,
    unused_tcp_port: int,
    monkeypatch: pytest.MonkeyPatch,
    timeout: float,
    read_timeout: float,
) -> None:
    """Whichever is over first: the caller's time, or the store's."""
    # more than usual, for a loaded machine: the refusal has to be there before the caller's own deadline
    monkeypatch.setattr(call_terms, "RESERVE_SECONDS", 5.0)

    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    hole = await asyncio.start_server(silence, "127.0.0.1", 0)
    port = hole.sockets[0].getsockname()[1]
    try:
        hanging = {"elasticsearch_url": f"http://127.0.0.1:{port}", "read_timeout_seconds": read_timeout}
        async with serving(shared_read_side, unused_tcp_port, **hanging) as server:
            # Any other end of time, the caller's own or the longest of all calls, has another name.
            with pytest.raises(DependencyUnavailable) as refusal:
                await server.get(UNKNOWN, timeout=timeout)
            assert refusal.value.metadata == {"dependency": "elasticsearch"}
    finally:
        hole.close()


async def test_a_missing_index_is_unavailable_not_an_absence(
    read_side: ReadSide, own_server: Server, elasticsearch_url: str
) -> None:
    async with AsyncElasticsearch(elasticsearch_url, request_timeout=120) as client:
        await client.indices.delete(index=f"{read_side.store.names.orders}-g1")
    with pytest.raises(OrderError) as refusal:
        await own_server.get(UNKNOWN)
    assert (refusal.value.code, refusal.value.reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")


async def test_a_waiting_call_is_answered_at_a_stop(
    shared_read_side: ReadSide, unused_tcp_port: int, waits: Waits
) -> None:
    event = published(an_order())
    async with serving(shared_read_side, unused_tcp_port) as server:
        waiting = asyncio.create_task(server.get(event.order_id, read_options=options(names(event), 1)))
        await waits.begun()
        server.stop()
        with pytest.raises(ReadModelBehind):
            await waiting
