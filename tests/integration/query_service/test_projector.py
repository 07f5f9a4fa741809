"""The projector on a real stream and a real Elasticsearch: nothing lost, nothing told too early, poison parked."""

import asyncio
import random
from functools import partial
from pathlib import Path

import pytest
from elasticsearch import AsyncElasticsearch

from query_service.bootstrap import migrate
from query_service.projection.errors import Unprojectable
from tests.fixtures.private_servers import PrivateNats
from tests.support.queries.order_events import START, PublishedEvent, an_order, published
from tests.support.queries.projector_checks import (
    blocked,
    claimed_as_of,
    events_of,
    floor_reaches,
    is_complete,
    notices,
)
from tests.support.queries.read_side import ReadSide, empty_read_side, eventually, read_side, read_side_on

__all__ = ["empty_read_side", "read_side"]


async def test_events_become_orders_and_entries(read_side: ReadSide) -> None:
    events = events_of(20, 3)
    async with notices(read_side, "applied") as told, read_side.projecting():
        await read_side.publish(*events)
        await eventually(lambda: is_complete(read_side, events), "a complete read model")
        await eventually(lambda: _all_told(told, events), "a notice of every event")
        await eventually(lambda: floor_reaches(read_side, len(events)), "everything acknowledged")


async def test_shuffled_and_repeated_events_give_the_same_read_model(read_side: ReadSide) -> None:
    events = events_of(10, 5, seed=7)
    async with read_side.projecting(bulk_events=7, bulk_concurrency=3):
        # message ids would hide the repetition
        again = [PublishedEvent(e.order, e.event_id, e.event_type, _without_id(e), e.body, e.subject) for e in events]
        await read_side.publish(*events, *again, *again[:20])
        await eventually(lambda: floor_reaches(read_side, 120), "everything acknowledged")
        assert await is_complete(read_side, events)
        [stored] = await read_side.store.orders([events[0].order_id])
        assert stored.parked_versions == ()


def _without_id(event: PublishedEvent) -> dict[str, str]:
    return {name: value for name, value in event.headers.items() if name != "Nats-Msg-Id"}


async def test_a_projector_killed_at_any_moment_loses_nothing(read_side: ReadSide) -> None:
    events = events_of(300, 5)
    dice = random.Random(11)
    kills, each = 4, len(events) // 4
    for kill in range(kills):
        async with read_side.process("project", bulk_events=50) as projector:
            await projector.wrote("projecting")
            before = await _delivered(read_side)
            publishing = asyncio.create_task(read_side.publish(*events[kill * each : (kill + 1) * each]))
            await eventually(partial(_delivered_beyond, read_side, before), "work in hand")
            await asyncio.sleep(dice.uniform(0, 0.2))  # the moment of the kill is what is random here
            await projector.kill()
        await publishing
    async with read_side.process("project", bulk_events=50) as projector:
        await eventually(lambda: floor_reaches(read_side, len(events)), "everything acknowledged")
        assert await is_complete(read_side, events)
        projector.process.terminate()
        assert await projector.ended() == 0


async def _delivered(side: ReadSide) -> int:
    delivered = (await side.consumer()).delivered
    return delivered.stream_seq if delivered is not None else 0


async def _delivered_beyond(side: ReadSide, sequence: int) -> bool:
    return await _delivered(side) > sequence


async def _killed_in_a_bulk(side: ReadSide, elasticsearch_url: str, *mutant: str) -> list[PublishedEvent]:
    """Kills a projector whose bulk cannot get in; then lets a sound one go on until the stream is done."""
    events = events_of(5, 2)
    module = "tests.support.queries.projector_mutants" if mutant else "query_service"
    async with (
        blocked(elasticsearch_url, side.store.names.orders),
        side.process(*mutant, "project", module=module) as projector,
    ):
        await side.publish(*events)
        await projector.wrote("cluster_block_exception")
        assert (await side.store.orders([events[0].order_id]))[0].document is None
        await projector.kill()
    await side.publish_barrier(START)
    async with side.projecting():
        await eventually(lambda: floor_reaches(side, len(events) + 1), "the rest of the stream acknowledged")
    return events


async def test_a_kill_in_a_bulk_loses_nothing(read_side: ReadSide, elasticsearch_url: str) -> None:
    events = await _killed_in_a_bulk(read_side, elasticsearch_url)
    assert await is_complete(read_side, events)


@pytest.mark.mutant
async def test_a_projector_that_acks_before_the_bulk_is_caught(read_side: ReadSide, elasticsearch_url: str) -> None:
    events = await _killed_in_a_bulk(read_side, elasticsearch_url, "ack_before_bulk")
    assert not await is_complete(read_side, events)


async def _half_in(side: ReadSide, elasticsearch_url: str, *mutant: str) -> tuple[bool, bool]:
    """With one of the two documents in: is it told to readers, is it acknowledged?"""
    event = published(an_order())
    module = "tests.support.queries.projector_mutants" if mutant else "query_service"
    async with (
        notices(side, "applied") as told,
        blocked(elasticsearch_url, side.store.names.entries),
        side.process(*mutant, "project", module=module) as projector,
    ):
        await projector.wrote("projecting")
        await side.publish(event)
        await eventually(lambda: side.shows([event]), "the order's document")

        async def seen() -> tuple[bool, bool]:
            return bool(told), await side.ack_floor() == 1

        async def hasty() -> bool:
            return any(await seen())

        if mutant:
            await eventually(hasty, "a notice, or an ack, of half an event")
        else:
            await projector.wrote("cluster_block_exception")
            await asyncio.sleep(0.3)  # for what a hasty one would have sent by now
        return await seen()


async def test_half_an_event_is_neither_told_nor_acknowledged(read_side: ReadSide, elasticsearch_url: str) -> None:
    assert await _half_in(read_side, elasticsearch_url) == (False, False)


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", ["notice_before_bulk", "ack_after_first_document"])
async def test_a_projector_that_counts_half_an_event_is_caught(
    read_side: ReadSide, elasticsearch_url: str, mutant: str
) -> None:
    assert await _half_in(read_side, elasticsearch_url, mutant) != (False, False)


async def test_a_blocked_store_pauses_and_nothing_is_dropped_or_parked(
    read_side: ReadSide, elasticsearch_url: str
) -> None:
    events = events_of(30, 2)
    async with read_side.process("project", bulk_events=10, bulk_concurrency=2) as projector:
        async with blocked(elasticsearch_url, read_side.store.names.orders):
            await read_side.publish(*events)
            await read_side.publish_barrier(START)
            await projector.wrote('"event": "paused"')
            assert await read_side.ack_floor() == 0
            assert await read_side.store.freshness() is None
            delivered = (await read_side.consumer()).num_ack_pending or 0
            assert 0 < delivered <= 20  # takes no more than it can hold
            await asyncio.sleep(3)  # longer than the ack wait: what is in hand stays in hand
            assert (await read_side.consumer()).num_redelivered == 0
        await eventually(lambda: floor_reaches(read_side, len(events) + 1), "everything acknowledged")
        assert await is_complete(read_side, events)
        assert await claimed_as_of(read_side) == START.timestamp() * 1e6
    assert all([not (await read_side.store.parked(event.order_id)) for event in events])


async def test_an_unmappable_event_is_parked_and_a_later_version_heals(read_side: ReadSide) -> None:
    sound = published(an_order())
    poison = published(an_order(version=2), payload_changes={"order.orderNumber": "9" * 40_000})
    later = published(an_order(poison.order_id, 3))
    async with notices(read_side, "parked") as told, read_side.projecting():
        await read_side.publish(poison, sound)
        await eventually(lambda: floor_reaches(read_side, 2), "everything acknowledged")
        assert await read_side.shows([sound])
        [stored] = await read_side.store.orders([poison.order_id])
        assert (stored.version, stored.parked_versions, stored.lacks_parked_version) == (0, (2,), True)
        await eventually(lambda: _all_told(told, [poison]), "a notice of the parked event")
        assert told == [(poison.order_id, 2)]
        [parked] = await read_side.store.parked(poison.order_id)
        assert (parked.reason, parked.sequence, parked.stream) == (Unprojectable.UNMAPPABLE, 1, read_side.stream)
        assert (parked.event_id, parked.event_type) == (poison.event_id, "ORDER_REVISED")
        await read_side.publish(later)
        await eventually(lambda: read_side.shows([later]), "the later version")
        [stored] = await read_side.store.orders([poison.order_id])
        assert not stored.lacks_parked_version


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (published(an_order(version=4), payload_changes={"order.total": "much"}), Unprojectable.MALFORMED),
        (published(an_order(version=4), payload_changes={"orderVersion": "5"}), Unprojectable.CONTRADICTORY),
        (
            published(an_order(version=4), recorded_headers='{"source_epoch":"1","schema_version":"2"}'),
            Unprojectable.SCHEMA_UNKNOWN,
        ),
    ],
)
async def test_what_cannot_be_projected_is_parked_with_its_order(
    read_side: ReadSide, broken: PublishedEvent, reason: Unprojectable
) -> None:
    async with read_side.projecting():
        await read_side.publish(broken)
        await eventually(lambda: floor_reaches(read_side, 1), "the message acknowledged")
    [parked] = await read_side.store.parked(broken.order_id)
    assert (parked.version, parked.reason) == (4, reason)


async def test_a_message_of_nobody_is_parked_by_its_place_in_the_stream(
    read_side: ReadSide, elasticsearch_url: str
) -> None:
    async with read_side.projecting():
        await read_side.client.jetstream(timeout=60).publish(f"{read_side.subject}.v1.0.JUNK", b"\x00")
        await eventually(lambda: floor_reaches(read_side, 1), "the message acknowledged")
    async with AsyncElasticsearch(elasticsearch_url, request_timeout=120) as client:
        await client.indices.refresh(index=read_side.store.names.parked)
        found = await client.search(index=read_side.store.names.parked)
        [document] = [hit["_source"] for hit in found["hits"]["hits"]]
    assert (document["order_id"], document["versions"]) == (None, [])
    assert document["events"][0]["sequence"] == 1


async def test_two_events_of_one_version_are_reported_and_the_first_stays(read_side: ReadSide) -> None:
    first = published(an_order(version=1))
    second = published(an_order(first.order_id, 1, name="Somebody Else"))
    async with read_side.projecting():
        await read_side.publish(first)
        await eventually(lambda: read_side.shows([first]), "the first event")
        await read_side.publish(second)
        await eventually(lambda: floor_reaches(read_side, 2), "both acknowledged")
    [parked] = await read_side.store.parked(first.order_id)
    assert (parked.reason, parked.event_id) == (Unprojectable.CONFLICTING, second.event_id)
    [stored] = await read_side.store.orders([first.order_id])
    assert stored.document is not None
    assert stored.document["event_id"] == first.event_id


async def test_a_missing_alias_stops_the_projector_by_name(read_side: ReadSide, elasticsearch_url: str) -> None:
    alias = read_side.store.names.orders
    async with read_side.process("project") as projector:
        await projector.wrote("projecting")
        async with AsyncElasticsearch(elasticsearch_url, request_timeout=120) as client:
            await client.indices.delete_alias(index=f"{alias}-g1", name=f"{alias}*")
        await read_side.publish(published(an_order()))
        assert await projector.ended() == 2
        assert alias in projector.log.splitlines()[-1]
        assert "migrate" in projector.log.splitlines()[-1]
    assert await read_side.ack_floor() == 0


async def test_a_restart_of_nats_costs_time_and_nothing_else(
    private_nats: PrivateNats, elasticsearch_url: str, tmp_path: Path
) -> None:
    server = await private_nats()
    async with read_side_on(server.url, elasticsearch_url, tmp_path) as side:
        await side.create_stream()
        await migrate(side.settings())
        events = events_of(40, 5)
        async with side.process("project", bulk_events=20) as projector:
            await side.publish(*events[:100])
            await projector.wrote("projecting")
            await server.kill()
            await projector.wrote("nats unavailable")
            await server.start()
            await eventually(lambda: _connected(side), "the test's own connection")
            await side.publish(*events[100:])
            await eventually(lambda: is_complete(side, events), "a complete read model")
            assert projector.process.returncode is None


async def _connected(side: ReadSide) -> bool:
    return bool(side.client.is_connected)


async def _all_told(told: list[tuple[str, int]], events: list[PublishedEvent]) -> bool:
    return {(event.order_id, event.version) for event in events} <= set(told)
