"""Tokens over gRPC: what a caller has seen is in the answer, or the answer says why not."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import grpc
import pytest
from tandem.orders.consistency_token import ConsistencyToken, encode
from tandem.orders.errors import (
    OrderNotFound,
    OrderParked,
    ReadModelBehind,
    TokenFromOtherSource,
    TokenMalformed,
    VersionNotFound,
)

from query_service.application.freshness import await_versions
from tests.support.queries.order_events import START, an_order, published
from tests.support.queries.query_serving import (
    UNKNOWN,
    Server,
    Waits,
    a_parked,
    apply,
    at,
    freshness,
    knows_freshness,
    names,
    notify,
    options,
    own_server,
    server,
    serving,
    versions_of,
    waits,
)
from tests.support.queries.read_side import ReadSide, empty_read_side, eventually, read_side, shared_read_side

__all__ = ["empty_read_side", "own_server", "read_side", "server", "shared_read_side", "waits"]


async def test_a_token_that_is_met_does_not_wait(shared_read_side: ReadSide, server: Server, waits: Waits) -> None:
    event = published(an_order(version=4))
    await apply(shared_read_side, event)
    for version in (1, 4):
        response = await server.get(event.order_id, read_options=options(names(event, version), 5))
        assert response.order == event.order
    assert waits.seconds == []


async def test_a_waiting_answer_is_woken_by_the_notice(
    shared_read_side: ReadSide, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch, waits: Waits
) -> None:
    # without a notice it would look again only after the wait is over
    monkeypatch.setattr(await_versions.VersionWaiter.__init__, "__kwdefaults__", {"recheck": 60.0})
    event = published(an_order())
    async with serving(shared_read_side, unused_tcp_port) as server:
        waiting = asyncio.create_task(server.get(event.order_id, read_options=options(names(event), 5)))
        await waits.begun()
        await apply(shared_read_side, event)
        await asyncio.sleep(0.3)
        assert not waiting.done()  # nobody has told it
        await notify(shared_read_side, event)
        assert (await waiting).order == event.order
        assert waits.noticed == [True]


async def test_a_lost_notice_costs_little(shared_read_side: ReadSide, server: Server, waits: Waits) -> None:
    event = published(an_order())
    waiting = asyncio.create_task(server.get(event.order_id, read_options=options(names(event), 5)))
    await waits.begun()
    await apply(shared_read_side, event)
    assert (await waiting).order == event.order
    assert not any(waits.noticed)
    assert max(waits.seconds) <= await_versions.RECHECK_SECONDS


@pytest.mark.parametrize("known", [False, True])
async def test_a_token_that_is_not_met_is_never_not_found(
    shared_read_side: ReadSide, server: Server, waits: Waits, known: bool
) -> None:
    event = published(an_order(version=2))
    if known:
        await apply(shared_read_side, event)
    started = time.monotonic()
    with pytest.raises(ReadModelBehind) as refusal:
        await server.get(event.order_id, read_options=options(names(event, 3), 0.6))
    assert time.monotonic() - started > 0.55
    assert sum(waits.seconds) < 0.61
    assert refusal.value.code is grpc.StatusCode.UNAVAILABLE
    assert refusal.value.metadata == {
        "order_id": event.order_id,
        "needed_version": "3",
        "current_version": "2" if known else "0",
    }


async def test_the_wait_ends_before_the_callers_deadline(server: Server) -> None:
    event = published(an_order())
    with pytest.raises(ReadModelBehind):
        await server.get(event.order_id, timeout=4, read_options=options(names(event), 5))


async def test_the_wait_is_two_seconds_when_not_said(server: Server, waits: Waits) -> None:
    event = published(an_order())
    started = time.monotonic()
    with pytest.raises(ReadModelBehind):
        await server.get(event.order_id, read_options=options(names(event)))
    assert time.monotonic() - started > 1.9
    assert sum(waits.seconds) < 2.01


async def test_a_caller_may_take_a_stale_answer(shared_read_side: ReadSide, server: Server) -> None:
    event = published(an_order())
    await apply(shared_read_side, event)
    response = await server.get(event.order_id, read_options=options(names(event, 2), 0.2, stale=True))
    assert response.order == event.order
    assert response.read_info.stale
    with pytest.raises(ReadModelBehind):  # there is nothing stale to give, and NOT_FOUND would be false
        await server.get(UNKNOWN, read_options=options(encode(ConsistencyToken(1, {UNKNOWN: 1})), 0.2, stale=True))


async def test_other_orders_of_a_token_do_not_hold_up_an_answer(
    shared_read_side: ReadSide, server: Server, waits: Waits
) -> None:
    event = published(an_order())
    await apply(shared_read_side, event)
    both = encode(ConsistencyToken(1, {event.order_id: 1, UNKNOWN: 7}))
    assert (await server.get(event.order_id, read_options=options(both, 5))).order == event.order
    assert waits.seconds == []


async def test_a_version_that_the_token_names_is_waited_for(
    shared_read_side: ReadSide, server: Server, waits: Waits
) -> None:
    first, second = versions_of(2)
    await apply(shared_read_side, first)
    waiting = asyncio.create_task(server.get(first.order_id, version=2, read_options=options(names(second), 5)))
    await waits.begun()
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


async def test_a_token_of_another_source_is_refused(read_side: ReadSide, own_server: Server, waits: Waits) -> None:
    event = published(an_order(version=3), source_epoch=2)
    await apply(read_side, event)
    for epoch in (1, 3):
        with pytest.raises(TokenFromOtherSource) as refusal:
            await own_server.get(event.order_id, read_options=options(names(event, 1, epoch), 0.3, stale=epoch == 1))
            # with no barrier yet, a later epoch can only be told from the order itself
        assert refusal.value.code is grpc.StatusCode.FAILED_PRECONDITION
        assert sum(waits.seconds) < 0.31
        await read_side.store.record_freshness(freshness(START, epoch=2))
        await eventually(lambda: knows_freshness(own_server, event), "freshness")
    assert (await own_server.get(event.order_id, read_options=options(names(event, 3, 2)))).order == event.order


async def test_a_token_of_the_source_to_come_is_honoured_once_it_is_followed(
    read_side: ReadSide, own_server: Server, waits: Waits
) -> None:
    event, of_the_source_before = published(an_order(), source_epoch=2), published(an_order())
    await apply(read_side, of_the_source_before)
    await read_side.store.record_freshness(freshness(START, epoch=1))
    await eventually(lambda: knows_freshness(own_server, of_the_source_before), "freshness")
    waiting = asyncio.create_task(own_server.get(event.order_id, read_options=options(names(event, epoch=2), 5)))
    await waits.begun()
    await apply(read_side, event)
    await read_side.store.record_freshness(freshness(START + timedelta(seconds=1), epoch=2))
    assert (await waiting).order == event.order


async def test_a_parked_version_is_told_at_once(shared_read_side: ReadSide, server: Server, waits: Waits) -> None:
    first, second, third = versions_of(3)
    await apply(shared_read_side, first)
    waiting = asyncio.create_task(server.get(first.order_id, read_options=options(names(second), 5)))
    await waits.begun()
    await shared_read_side.store.park(a_parked(second))
    await notify(shared_read_side, second, "parked")
    with pytest.raises(OrderParked) as refusal:
        await waiting
    assert sum(waits.seconds) < 4, "it waited to the end"
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
        await eventually(lambda: knows_freshness(server, events[0]), "freshness")
