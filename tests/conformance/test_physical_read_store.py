"""The suite on Elasticsearch, and what only Elasticsearch can do wrong."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from elasticsearch import AsyncElasticsearch

from query_service.application.ports.errors import DependencyDown, ReadStoreNotReady
from query_service.application.ports.read_store import Applied, Deferred, ReadStore, Refused
from query_service.projection.errors import Unprojectable
from query_service.projection.project import project
from query_service.projection.stream_event import read_event
from query_service.storage.physical import erasing, writer
from query_service.storage.physical.generations import mappings, setup
from query_service.storage.physical.names import IndexNames
from query_service.storage.physical.parking import ParkingLot
from query_service.storage.physical.store import PhysicalStore
from tests.conformance.order_question_suite import MANY_ORDERS, OrderQuestionSuite, all_sorts_while_it_goes_on
from tests.conformance.read_store_suite import (
    OpenStore,
    ReadStoreSuite,
    a_parked_event,
    an_event,
    order_id,
)
from tests.fixtures.elasticsearch import put_to_sleep
from tests.support.queries.order_events import an_order, published
from tests.support.source_mutants import Mutant, noticed

__all__ = ["order_id"]


@pytest_asyncio.fixture(loop_scope="session")
async def installation(elasticsearch_url: str, index_prefix: str) -> OpenStore:
    store = PhysicalStore(elasticsearch_url, index_prefix=index_prefix, request_timeout=60)
    await store.prepare()
    await store.close()
    return lambda: PhysicalStore(elasticsearch_url, index_prefix=index_prefix, request_timeout=60)


@pytest_asyncio.fixture(loop_scope="session")
async def store(installation: OpenStore) -> AsyncIterator[Any]:
    store = installation()
    yield store
    await store.close()


@pytest_asyncio.fixture(loop_scope="session")
async def elasticsearch(elasticsearch_url: str) -> AsyncIterator[AsyncElasticsearch]:
    async with AsyncElasticsearch(elasticsearch_url, request_timeout=60) as client:
        yield client


class TestPhysicalStore(ReadStoreSuite):
    name = "physical"


class TestPhysicalStoreQuestions(OrderQuestionSuite):
    name = "physical"

    @pytest.mark.long
    async def test_pages_of_many_orders_stay_right_while_they_arrive_and_change(self, store: ReadStore) -> None:
        await all_sorts_while_it_goes_on(store, MANY_ORDERS)


async def test_a_look_up_does_not_wait_for_a_refresh(
    store: PhysicalStore, elasticsearch: AsyncElasticsearch, order_id: str
) -> None:
    await put_to_sleep(elasticsearch, store.names.orders)
    event = an_event(order_id, 1)
    await store.apply([event])
    assert (await store.orders([order_id]))[0].document == event.order
    unseen = await elasticsearch.count(index=store.names.orders, query={"term": {"order_id": order_id}})
    assert unseen["count"] == 0


async def check_parked_at_once(store: PhysicalStore, elasticsearch: AsyncElasticsearch, order_id: str) -> None:
    await put_to_sleep(elasticsearch, store.names.parked)
    await store.park(a_parked_event(order_id, 1))
    assert (await store.parked_orders()).get(order_id) == (1,)


async def test_a_search_finds_what_was_parked_just_now(
    store: PhysicalStore, elasticsearch: AsyncElasticsearch, order_id: str
) -> None:
    await check_parked_at_once(store, elasticsearch, order_id)


@pytest.mark.mutant
async def test_mutant_parking_without_a_refresh_is_noticed(
    store: PhysicalStore, elasticsearch: AsyncElasticsearch, order_id: str
) -> None:
    with noticed(Mutant(ParkingLot._change, '"refresh": "true", ', "")):
        await check_parked_at_once(store, elasticsearch, order_id)


async def test_searching_a_beginning_of_a_folded_word(
    store: PhysicalStore, elasticsearch: AsyncElasticsearch, order_id: str
) -> None:
    await store.apply([an_event(order_id, 1)])
    await elasticsearch.indices.refresh(index=store.names.orders)
    for word, hits in (("konig", 1), ("konigl", 1), ("singapore", 1), ("onig", 0)):
        found = await elasticsearch.count(index=store.names.orders, query={"prefix": {"search_text": word}})
        assert found["count"] == hits, word


async def test_an_unmappable_document_is_refused_alone_and_a_later_version_goes_in(store: PhysicalStore) -> None:
    message = published(an_order(version=1), payload_changes={"order.orderNumber": "9" * 40_000})
    poison = project(read_event(message.headers, message.body))
    good = an_event(str(uuid.uuid4()), 1)
    refused, applied = await store.apply([poison, good])
    assert isinstance(refused, Refused)
    assert refused.reason is Unprojectable.UNMAPPABLE
    assert "order_number" in refused.detail
    assert applied == Applied()
    assert await store.apply([an_event(poison.order_id, 2)]) == [Applied()]


async def test_what_json_cannot_say_is_refused_alone(store: PhysicalStore) -> None:
    broken = an_event(str(uuid.uuid4()), 1)
    broken.event["reason"] = "\ud800"
    refused, applied = await store.apply([broken, an_event(str(uuid.uuid4()), 1)])
    assert isinstance(refused, Refused)
    assert refused.reason is Unprojectable.UNMAPPABLE
    assert applied == Applied()


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # true of the last size only
@pytest.mark.parametrize("size", [3_000, 300_000, 900_000])
async def test_large_events_go_in(store: PhysicalStore, size: int) -> None:
    messages = [published(an_order(version=1), payload_changes={"reason": "x" * size}) for _ in range(12)]
    assert await store.apply([project(read_event(m.headers, m.body)) for m in messages]) == [Applied()] * 12
    for message in messages:
        [entry] = await store.entries(message.order_id, [1])
        assert entry is not None
        assert len(entry["reason"]) == size


@pytest.mark.parametrize("which", ["orders", "entries"])
async def test_a_blocked_index_defers_and_the_same_events_go_in_later(
    store: PhysicalStore, elasticsearch: AsyncElasticsearch, order_id: str, which: str
) -> None:
    index = getattr(store.names, which)
    event = an_event(order_id, 1)
    for block in ("read_only_allow_delete", "write"):
        await elasticsearch.indices.put_settings(index=index, settings={f"index.blocks.{block}": True})
        [outcome] = await store.apply([event])
        assert isinstance(outcome, Deferred), block
        assert "cluster_block_exception" in outcome.cause
        await elasticsearch.indices.put_settings(index=index, settings={f"index.blocks.{block}": None})
    assert await store.apply([event]) == [Applied()]
    assert (await store.entries(order_id, [1]))[0] == event.event


@pytest.mark.parametrize("which", ["orders", "entries"])
async def test_a_closed_index_defers(
    store: PhysicalStore, elasticsearch: AsyncElasticsearch, order_id: str, which: str
) -> None:
    await elasticsearch.indices.close(index=getattr(store.names, which))
    [outcome] = await store.apply([an_event(order_id, 1)])
    assert isinstance(outcome, Deferred)


@pytest.mark.parametrize("which", ["orders", "entries"])
async def test_a_red_index_defers_and_is_no_absence(
    store: PhysicalStore, elasticsearch: AsyncElasticsearch, order_id: str, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(store._writer._params, "timeout", "100ms")
    index, event = getattr(store.names, which), an_event(order_id, 1)
    place = "index.routing.allocation.require._name"
    await elasticsearch.indices.delete(index=f"{index}-g1")
    await elasticsearch.indices.create(  # its only shard finds no place
        index=f"{index}-g1",
        mappings=mappings.ORDERS if which == "orders" else mappings.ENTRIES,
        settings={**mappings.settings("1s")["index"], place: "nowhere"},
        aliases={index: {}},
        wait_for_active_shards="0",
    )
    health = await elasticsearch.cluster.health(index=index)
    assert health["status"] == "red"
    [outcome] = await store.apply([event])
    assert isinstance(outcome, Deferred)
    assert "unavailable_shards_exception" in outcome.cause
    with pytest.raises(DependencyDown):
        await store.entries(order_id, [1]) if which == "entries" else await store.orders([order_id])
    await elasticsearch.indices.put_settings(index=index, settings={place: None})
    await elasticsearch.cluster.health(index=index, wait_for_status="yellow", timeout="30s")
    assert await store.apply([event]) == [Applied()]


@pytest.mark.parametrize("which", ["orders", "entries"])
async def test_a_missing_alias_is_named_and_nothing_is_created(
    store: PhysicalStore, elasticsearch: AsyncElasticsearch, order_id: str, which: str
) -> None:
    alias = getattr(store.names, which)
    event = an_event(order_id, 1)
    await elasticsearch.indices.delete_alias(index=f"{alias}-g1", name=alias)
    with pytest.raises(ReadStoreNotReady, match=alias):
        await store.apply([event])
    with pytest.raises(ReadStoreNotReady, match=f"{alias} does not exist.*migrate"):
        await store.identity()
    assert not await elasticsearch.indices.exists(index=alias)
    await store.prepare()
    assert await store.apply([event]) == [Applied()]


async def test_reading_without_the_index_is_no_absence(
    store: PhysicalStore, elasticsearch: AsyncElasticsearch, order_id: str
) -> None:
    await elasticsearch.indices.delete(index=f"{store.names.orders}-g1")
    with pytest.raises(ReadStoreNotReady, match="migrate"):
        await store.orders([order_id])


async def test_reading_a_closed_index_is_no_absence(
    store: PhysicalStore, elasticsearch: AsyncElasticsearch, order_id: str
) -> None:
    await elasticsearch.indices.close(index=store.names.orders)
    with pytest.raises(DependencyDown):
        await store.orders([order_id])


async def test_an_unknown_field_in_the_index_of_an_older_release_is_named(
    elasticsearch_url: str, index_prefix: str, elasticsearch: AsyncElasticsearch
) -> None:
    names = IndexNames(index_prefix)
    store = PhysicalStore(elasticsearch_url, index_prefix=index_prefix, request_timeout=60)
    try:
        await elasticsearch.indices.create(
            index=f"{names.orders}-g1",
            aliases={names.orders: {}},
            mappings={"dynamic": "strict", "properties": {"order_id": {"type": "keyword"}}},
        )
        with pytest.raises(ReadStoreNotReady, match="does not know the field order_number"):
            await store.identity()
        await store.prepare()
        await store.identity()
    finally:
        await store.close()


async def test_an_index_of_another_shape_must_be_rebuilt(
    elasticsearch_url: str, index_prefix: str, elasticsearch: AsyncElasticsearch
) -> None:
    names = IndexNames(index_prefix)
    store = PhysicalStore(elasticsearch_url, index_prefix=index_prefix, request_timeout=60)
    try:
        await elasticsearch.indices.create(
            index=f"{names.orders}-g1",
            aliases={names.orders: {}},
            mappings={"properties": {"total": {"type": "keyword"}}},
        )
        with pytest.raises(ReadStoreNotReady, match="rebuilt"):
            await store.prepare()
    finally:
        await store.close()


async def test_an_alias_of_two_indices_is_refused_and_parks_nothing(
    store: PhysicalStore, elasticsearch: AsyncElasticsearch, order_id: str
) -> None:
    alias = store.names.orders
    await elasticsearch.indices.create(index=f"{alias}-g2", aliases={alias: {}})
    with pytest.raises(ReadStoreNotReady, match="must be an alias of one index"):
        await store.apply([an_event(order_id, 1)])


async def test_a_lost_index_makes_another_read_model(store: PhysicalStore, elasticsearch: AsyncElasticsearch) -> None:
    before = await store.identity()
    await elasticsearch.indices.delete(index=f"{store.names.orders}-g1")
    after = await store.prepare()
    assert after.read_model != before.read_model
    assert await store.prepare() == after


async def test_two_projectors_may_park_the_same_order(installation: OpenStore, order_id: str) -> None:
    stores = [installation() for _ in range(4)]
    try:
        await asyncio.gather(
            *(store.park(a_parked_event(order_id, version)) for version, store in enumerate(stores, 1))
        )
        assert (await stores[0].orders([order_id]))[0].parked_versions == (1, 2, 3, 4)
    finally:
        for store in stores:
            await store.close()


async def test_a_server_too_old_is_named(store: PhysicalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "LEAST_VERSION", (99, 0))
    with pytest.raises(ReadStoreNotReady, match=r"is too old: 99\.0 or newer is needed"):
        await store.prepare()


async def test_no_server_is_named_and_does_not_hang(order_id: str) -> None:
    store = PhysicalStore("http://127.0.0.1:1", request_timeout=2)
    try:
        for attempt in (store.orders([order_id]), store.apply([an_event(order_id, 1)]), store.identity()):
            with pytest.raises(DependencyDown, match="elasticsearch"):
                await attempt
    finally:
        await store.close()


@pytest.mark.mutant
async def test_without_external_version_an_older_event_would_win(
    store: PhysicalStore, order_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: plain indexing. The suite's own check must notice it."""
    encode = erasing.document_lines

    def unguarded(index: str, document_id: str, external_version: int, document: Any) -> bytes:
        action, body = encode(index, document_id, external_version, document).split(b"\n")[:2]
        return action.split(b',"version"')[0] + b"}}\n" + body + b"\n"

    monkeypatch.setattr(writer, "document_lines", unguarded)
    with pytest.raises(AssertionError):
        await TestPhysicalStore().test_an_older_event_after_a_newer_one_changes_nothing(store=store, order_id=order_id)


@pytest.mark.mutant
async def test_a_conflict_that_always_counts_as_success_is_noticed(
    store: PhysicalStore, order_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: every 409 means that the event is in."""

    async def credulous(self: writer.BulkWriter, writes: list[Any]) -> None:
        for write in writes:
            write.verdict = writer._Verdict.IN

    monkeypatch.setattr(writer.BulkWriter, "_resolve_conflicts", credulous)
    with pytest.raises(AssertionError):
        await TestPhysicalStore().test_another_event_for_the_same_version_is_reported(store=store, order_id=order_id)
