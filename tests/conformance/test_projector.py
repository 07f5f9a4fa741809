"""The projector on a real stream and a real Elasticsearch."""

import asyncio
import json
import random
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import AsyncElasticsearch
from nats.aio.msg import Msg

from query_service.application.read_store import Freshness
from query_service.bootstrap import migrate
from query_service.projection.errors import Unprojectable
from query_service.wire.order_message import order_message
from service_runtime.process import StartupRefused
from tests.fixtures.order_events import START, PublishedEvent, an_order, published
from tests.fixtures.private_servers import PrivateNats
from tests.fixtures.read_side import QueryProcess, ReadSide, empty_read_side, eventually, read_side, read_side_on

__all__ = ["empty_read_side", "read_side"]


def events_of(orders: int, versions: int, *, seed: int = 0) -> list[PublishedEvent]:
    """Events of several orders, each order's in the order of its versions, the orders interleaved."""
    ids = [str(uuid.uuid4()) for _ in range(orders)]
    events = [published(an_order(order_id, version)) for version in range(1, versions + 1) for order_id in ids]
    return events if not seed else random.Random(seed).sample(events, len(events))


async def is_complete(side: ReadSide, events: list[PublishedEvent]) -> bool:
    """Whether every order is at its highest version and every event has its entry."""
    highest: dict[str, PublishedEvent] = {}
    for event in sorted(events, key=lambda event: event.version):
        highest[event.order_id] = event
    if not await side.shows(list(highest.values())):
        return False
    for order_id, last in highest.items():
        entries = await side.store.entries(order_id, range(1, last.version + 1))
        if any(entry is None for entry in entries):
            return False
        [stored] = await side.store.orders([order_id])
        assert stored.document is not None
        assert order_message(stored.document) == last.order
    return True


@asynccontextmanager
async def notices(side: ReadSide, kind: str) -> AsyncIterator[list[tuple[str, int]]]:
    """Collects the notices of one kind."""
    received: list[tuple[str, int]] = []

    async def on_message(message: Msg) -> None:
        received.extend((order_id, version) for order_id, version in json.loads(message.data))

    subscription = await side.client.subscribe(f"tandem.{side.subject}.{kind}.*", cb=on_message)
    await side.client.flush()
    yield received
    await subscription.unsubscribe()


@asynccontextmanager
async def blocked(elasticsearch_url: str, index: str) -> AsyncIterator[None]:
    """No writes into an index within the block."""
    async with AsyncElasticsearch(elasticsearch_url) as client:
        await client.indices.put_settings(index=index, settings={"index.blocks.write": True})
        try:
            yield
        finally:
            await client.indices.put_settings(index=index, settings={"index.blocks.write": None})


async def test_events_become_orders_and_entries(read_side: ReadSide) -> None:
    events = events_of(20, 3)
    async with notices(read_side, "applied") as told, read_side.projecting():
        await read_side.publish(*events)
        await eventually(lambda: is_complete(read_side, events), "a complete read model")
        await eventually(lambda: _all_told(told, events), "a notice of every event")
        await eventually(lambda: _floor(read_side, len(events)), "everything acknowledged")


async def _all_told(told: list[tuple[str, int]], events: list[PublishedEvent]) -> bool:
    return {(event.order_id, event.version) for event in events} <= set(told)


async def _floor(side: ReadSide, sequence: int) -> bool:
    return await side.ack_floor() >= sequence


async def test_shuffled_and_repeated_events_give_the_same_read_model(read_side: ReadSide) -> None:
    events = events_of(10, 5, seed=7)
    async with read_side.projecting(bulk_events=7, bulk_concurrency=3):
        # message ids would hide the repetition
        again = [PublishedEvent(e.order, e.event_id, e.event_type, _without_id(e), e.body, e.subject) for e in events]
        await read_side.publish(*events, *again, *again[:20])
        await eventually(lambda: _floor(read_side, 120), "everything acknowledged")
        assert await is_complete(read_side, events)
        [stored] = await read_side.store.orders([events[0].order_id])
        assert stored.parked_versions == ()


def _without_id(event: PublishedEvent) -> dict[str, str]:
    return {name: value for name, value in event.headers.items() if name != "Nats-Msg-Id"}


async def test_a_projector_killed_at_any_moment_loses_nothing(read_side: ReadSide) -> None:
    events = events_of(300, 5)
    dice = random.Random(11)
    publishing = asyncio.create_task(read_side.publish(*events))
    for _ in range(4):
        async with read_side.process("project", bulk_events=50) as projector:
            await projector.wrote("projecting")
            await eventually(partial(_delivered_beyond, read_side, await _delivered(read_side)), "work in hand")
            await asyncio.sleep(dice.uniform(0, 0.2))  # the moment of the kill is what is random here
            await projector.kill()
    await publishing
    async with read_side.process("project", bulk_events=50) as projector:
        await eventually(lambda: _floor(read_side, len(events)), "everything acknowledged", within=60)
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
    module = "tests.conformance.projector_mutants" if mutant else "query_service"
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
        await eventually(lambda: _floor(side, len(events) + 1), "the rest of the stream acknowledged")
    return events


async def test_a_kill_in_a_bulk_loses_nothing(read_side: ReadSide, elasticsearch_url: str) -> None:
    events = await _killed_in_a_bulk(read_side, elasticsearch_url)
    assert await is_complete(read_side, events)


async def test_a_projector_that_acks_before_the_bulk_is_caught(read_side: ReadSide, elasticsearch_url: str) -> None:
    events = await _killed_in_a_bulk(read_side, elasticsearch_url, "ack_before_bulk")
    assert not await is_complete(read_side, events)


async def _half_in(side: ReadSide, elasticsearch_url: str, *mutant: str) -> tuple[bool, bool]:
    """With one of the two documents in: is it told to readers, is it acknowledged?"""
    event = published(an_order())
    module = "tests.conformance.projector_mutants" if mutant else "query_service"
    async with (
        notices(side, "applied") as told,
        blocked(elasticsearch_url, side.store.names.entries),
        side.process(*mutant, "project", module=module) as projector,
    ):
        await projector.wrote("projecting")
        await side.publish(event)
        await eventually(lambda: side.shows([event]), "the order's document")
        if "ack_after_first_document" not in mutant:
            await projector.wrote("cluster_block_exception")
        # by now a hasty projector has told and acknowledged; its connection still has to bring it
        await side.client.flush()
        await asyncio.sleep(0.3)
        return bool(told), await side.ack_floor() == 1


async def test_half_an_event_is_neither_told_nor_acknowledged(read_side: ReadSide, elasticsearch_url: str) -> None:
    assert await _half_in(read_side, elasticsearch_url) == (False, False)


@pytest.mark.parametrize("mutant", ["notice_before_bulk", "ack_after_first_document"])
async def test_a_projector_that_counts_half_an_event_is_caught(
    read_side: ReadSide, elasticsearch_url: str, mutant: str
) -> None:
    assert await _half_in(read_side, elasticsearch_url, mutant) != (False, False)


async def test_a_blocked_store_pauses_and_nothing_is_dropped_or_parked(
    read_side: ReadSide, elasticsearch_url: str
) -> None:
    events = events_of(30, 2)
    async with read_side.process("project", bulk_events=10, ack_wait_seconds=2) as projector:
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
        await eventually(lambda: _floor(read_side, len(events) + 1), "everything acknowledged")
        assert await is_complete(read_side, events)
        assert await _as_of(read_side) == START.timestamp() * 1e6
    assert all([not (await read_side.store.parked(event.order_id)) for event in events])


async def _as_of(side: ReadSide) -> int:
    async def known() -> bool:
        return await side.store.freshness() is not None

    await eventually(known, "a claim of freshness")
    freshness = await side.store.freshness()
    assert freshness is not None
    return freshness.as_of


async def test_an_unmappable_event_is_parked_and_a_later_version_heals(read_side: ReadSide) -> None:
    sound = published(an_order())
    poison = published(an_order(version=2), payload_changes={"order.orderNumber": "9" * 40_000})
    later = published(an_order(poison.order_id, 3))
    async with notices(read_side, "parked") as told, read_side.projecting():
        await read_side.publish(poison, sound)
        await eventually(lambda: _floor(read_side, 2), "everything acknowledged")
        assert await read_side.shows([sound])
        [stored] = await read_side.store.orders([poison.order_id])
        assert (stored.version, stored.parked_versions, stored.lacks_parked_version) == (0, (2,), True)
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
            published(
                an_order(version=4), header_changes={"Tandem-Headers": '{"source_epoch":"1","schema_version":"2"}'}
            ),
            Unprojectable.SCHEMA_UNKNOWN,
        ),
    ],
)
async def test_what_cannot_be_projected_is_parked_with_its_order(
    read_side: ReadSide, broken: PublishedEvent, reason: Unprojectable
) -> None:
    async with read_side.projecting():
        await read_side.publish(broken)
        await eventually(lambda: _floor(read_side, 1), "the message acknowledged")
    [parked] = await read_side.store.parked(broken.order_id)
    assert (parked.version, parked.reason) == (4, reason)


async def test_a_message_of_nobody_is_parked_by_its_place_in_the_stream(
    read_side: ReadSide, elasticsearch_url: str
) -> None:
    async with read_side.projecting():
        await read_side.client.jetstream().publish(f"{read_side.subject}.v1.0.JUNK", b"\x00")
        await eventually(lambda: _floor(read_side, 1), "the message acknowledged")
    async with AsyncElasticsearch(elasticsearch_url) as client:
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
        await eventually(lambda: _floor(read_side, 2), "both acknowledged")
    [parked] = await read_side.store.parked(first.order_id)
    assert (parked.reason, parked.event_id) == (Unprojectable.CONFLICTING, second.event_id)
    [stored] = await read_side.store.orders([first.order_id])
    assert stored.document is not None
    assert stored.document["event_id"] == first.event_id


async def test_a_missing_alias_stops_the_projector_by_name(read_side: ReadSide, elasticsearch_url: str) -> None:
    alias = read_side.store.names.orders
    async with read_side.process("project") as projector:
        await projector.wrote("projecting")
        async with AsyncElasticsearch(elasticsearch_url) as client:
            await client.indices.delete_alias(index=f"{alias}-g1", name=alias)
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
            await projector.wrote("nats connection lost")
            await server.start()
            await eventually(lambda: _connected(side), "the test's own connection")
            await side.publish(*events[100:])
            restarted = time.monotonic()
            await eventually(lambda: is_complete(side, events), "a complete read model")
            assert time.monotonic() - restarted < 20
            assert projector.process.returncode is None


async def _connected(side: ReadSide) -> bool:
    return bool(side.client.is_connected)


# -- freshness ---------------------------------------------------------------------------------------------------------


async def _claimed_while_another_holds_an_event(side: ReadSide, *mutant: str) -> bool:
    """Whether a projector claims a barrier although an event before it is in another one's hands."""
    held, free = published(an_order()), published(an_order())
    other = await side.client.jetstream().pull_subscribe_bind("projector", side.stream)
    await side.publish(held)
    [in_other_hands] = await other.fetch(1, timeout=10)
    keeping = asyncio.create_task(_keep(in_other_hands))
    module = "tests.conformance.projector_mutants" if mutant else "query_service"
    try:
        async with side.process(*mutant, "project", module=module) as projector:
            await projector.wrote("projecting")
            await side.publish(free)
            await side.publish_barrier(START + timedelta(hours=1))
            await eventually(lambda: side.shows([free]), "the other event")
            await eventually(lambda: _pending(side, 1), "only the held event in hand")
            await asyncio.sleep(1)
            claimed = await side.store.freshness() is not None
            if not mutant:
                keeping.cancel()
                await in_other_hands.ack()
                assert await _as_of(side) == (START + timedelta(hours=1)).timestamp() * 1e6
            return claimed
    finally:
        keeping.cancel()
        await other.unsubscribe()


async def _keep(message: Msg) -> None:
    while True:
        await message.in_progress()
        await asyncio.sleep(0.5)


async def _pending(side: ReadSide, messages: int) -> bool:
    return (await side.consumer()).num_ack_pending == messages


async def test_freshness_is_claimed_only_when_every_projector_is_done(read_side: ReadSide) -> None:
    assert not await _claimed_while_another_holds_an_event(read_side)


async def test_a_projector_that_believes_barriers_at_once_is_caught(read_side: ReadSide) -> None:
    assert await _claimed_while_another_holds_an_event(read_side, "claim_at_once")


async def test_freshness_is_recorded_and_told_and_never_goes_back(read_side: ReadSide) -> None:
    told: list[dict[str, Any]] = []

    async def on_message(message: Msg) -> None:
        told.append(json.loads(message.data))

    await read_side.client.subscribe(f"tandem.{read_side.subject}.as_of", cb=on_message)
    await read_side.client.flush()
    async with read_side.projecting():
        await read_side.publish(published(an_order()))
        sequence = await read_side.publish_barrier(START + timedelta(seconds=2))
        await eventually(lambda: _told(told, 1), "a notice of freshness")
        await read_side.publish_barrier(START + timedelta(seconds=1))
        await eventually(lambda: _told(told, 2), "the next notice")
    assert told[0]["as_of"] == "2026-05-01T08:00:02.000000Z"
    assert (told[0]["generation"], told[0]["source_epoch"]) == ("g1", 1)
    freshness = await read_side.store.freshness()
    assert isinstance(freshness, Freshness)
    assert freshness.as_of == (START + timedelta(seconds=2)).timestamp() * 1e6
    assert (freshness.sequence, freshness.source_epoch) == (sequence, 1)


async def _told(told: list[dict[str, Any]], count: int) -> bool:
    return len(told) >= count


async def test_a_barrier_without_time_claims_nothing(read_side: ReadSide) -> None:
    async with read_side.projecting():
        await read_side.client.jetstream().publish(
            f"{read_side.subject}.v1.barrier", b"", headers={"Tandem-Source-Epoch": "1", "Tandem-Term": "1"}
        )
        await eventually(lambda: _floor(read_side, 1), "the barrier acknowledged")
    assert await read_side.store.freshness() is None


# -- start and set-up --------------------------------------------------------------------------------------------------


async def test_a_deleted_consumer_pauses_by_name_and_migrate_cures_it(read_side: ReadSide) -> None:
    first, second = published(an_order()), published(an_order())
    async with read_side.process("project") as projector:
        await read_side.publish(first)
        await eventually(lambda: read_side.shows([first]), "the first event")
        await read_side.client.jetstream().delete_consumer(read_side.stream, "projector")
        await projector.wrote("has no consumer projector")
        await read_side.publish(second)
        await migrate(read_side.settings())
        await eventually(lambda: read_side.shows([second]), "the second event")


async def test_migrate_twice_changes_nothing(read_side: ReadSide) -> None:
    async with read_side.projecting():
        event = published(an_order())
        await read_side.publish(event)
        await eventually(lambda: _floor(read_side, 1), "the event acknowledged")
    said = await migrate(read_side.settings())
    assert "is there" in said
    assert await read_side.ack_floor() == 1


async def test_without_a_stream_migrate_says_who_makes_it(empty_read_side: ReadSide) -> None:
    with pytest.raises(StartupRefused, match=f"stream {empty_read_side.stream} does not exist; start the relay"):
        await migrate(empty_read_side.settings())


async def test_without_set_up_the_projector_says_what_to_run(empty_read_side: ReadSide) -> None:
    await empty_read_side.create_stream()
    async with empty_read_side.process("project") as projector:
        assert await projector.ended() == 2
        assert "run `python -m query_service migrate`" in projector.log.splitlines()[-1]


async def test_without_consumer_the_projector_says_what_to_run(read_side: ReadSide) -> None:
    await read_side.client.jetstream().delete_consumer(read_side.stream, "projector")
    async with read_side.projecting() as task:
        with pytest.raises(StartupRefused, match=r"has no consumer projector.*migrate"):
            await task


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"max_deliver": 5}, "max_deliver is 5"), ({"max_ack_pending": 10}, "max_ack_pending is 10")],
)
async def test_a_consumer_set_up_otherwise_is_refused(read_side: ReadSide, changes: dict[str, Any], named: str) -> None:
    config = (await read_side.consumer()).config
    await read_side.client.jetstream().add_consumer(read_side.stream, config.evolve(**changes))
    async with read_side.projecting() as task:
        with pytest.raises(StartupRefused, match=named):
            await task


async def test_a_lost_index_is_projected_anew_from_the_stream(read_side: ReadSide, elasticsearch_url: str) -> None:
    events = events_of(3, 2)
    async with read_side.projecting():
        await read_side.publish(*events)
        await eventually(lambda: _floor(read_side, len(events)), "everything acknowledged")
    async with AsyncElasticsearch(elasticsearch_url) as client:
        await client.indices.delete(index=f"{read_side.store.names.orders}-g1")
    await read_side.store.prepare()
    async with read_side.projecting() as task:
        with pytest.raises(StartupRefused, match="feeds another read model"):
            await task
    assert "in place of one" in await migrate(read_side.settings())
    async with read_side.projecting():
        await eventually(lambda: is_complete(read_side, events), "a complete read model")


async def test_a_stream_that_lost_what_the_read_model_lacks_is_refused(empty_read_side: ReadSide) -> None:
    await empty_read_side.create_stream()
    await empty_read_side.publish(*events_of(5, 1))
    await empty_read_side.client.jetstream().purge_stream(empty_read_side.stream, seq=4)
    with pytest.raises(StartupRefused, match="messages 1 to 3 have left the stream"):
        await migrate(empty_read_side.settings())


async def test_a_stream_that_lost_what_the_read_model_has_is_fine(read_side: ReadSide) -> None:
    async with read_side.projecting():
        await read_side.publish(*events_of(5, 1))
        await read_side.publish_barrier(START)
        await _as_of(read_side)
    jetstream = read_side.client.jetstream()
    await jetstream.purge_stream(read_side.stream)
    await jetstream.delete_consumer(read_side.stream, "projector")
    await migrate(read_side.settings())
    event = published(an_order())
    async with read_side.projecting():
        await read_side.publish(event)
        await eventually(lambda: read_side.shows([event]), "the event after the gap")


async def test_events_that_left_the_stream_unprojected_stop_the_projector(read_side: ReadSide) -> None:
    await read_side.publish(*events_of(5, 1))
    await read_side.client.jetstream().purge_stream(read_side.stream, seq=4)
    async with read_side.process("project") as projector:
        code = await projector.ended()
        assert (code, "3 messages left the stream" in projector.log.splitlines()[-1]) == (2, True), projector.log


async def test_the_probes_tell_why_it_is_not_ready(read_side: ReadSide, elasticsearch_url: str) -> None:
    async with read_side.process("project") as projector:
        await projector.wrote("projecting")
        address = _address(projector, "probes")
        assert await _get(address, "/readyz") == (200, "ok\n")
        async with blocked(elasticsearch_url, read_side.store.names.orders):
            await read_side.publish(published(an_order()))
            await projector.wrote('"event": "paused"')
            status, body = await _get(address, "/readyz")
            assert status == 503
            assert "cluster_block_exception" in body
            assert (await _get(address, "/livez"))[0] == 200
            assert "projector_paused 1.0" in (await _get(address, "/metrics"))[1]
        await eventually(lambda: _floor(read_side, 1), "the event acknowledged")
        assert "projector_applied_events_total" in (await _get(address, "/metrics"))[1]


def _address(process: QueryProcess, name: str) -> str:
    for line in process.log.splitlines():
        entry = json.loads(line)
        if entry["event"] == "listening":
            return str(entry[name])
    raise AssertionError(process.log)


async def _get(address: str, path: str) -> tuple[int, str]:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split()[1]), body
