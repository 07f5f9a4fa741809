"""What only Elasticsearch can do wrong with lists: refreshes, marks, parts that cannot answer."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from elasticsearch import AsyncElasticsearch

from query_service.application.freshness.list_gate import ListGate
from query_service.application.ports.errors import DependencyDown, PageTokenMalformed, ReadStoreNotReady
from query_service.application.ports.order_questions import (
    Dimension,
    OrderCriteria,
    OrderSearch,
    OrderSort,
    OrderSummaries,
)
from query_service.storage.physical import lists
from query_service.storage.physical.figures import grouping, groups
from query_service.storage.physical.parking import ParkingLot
from query_service.storage.physical.store import PhysicalStore
from query_service.storage.physical.upkeep import IndexUpkeep
from tests.conformance.read_store_suite import OpenStore, a_parked_event, an_event
from tests.conformance.test_physical_read_store import elasticsearch, installation
from tests.fixtures.elasticsearch import put_to_sleep
from tests.golden.order_book import order_book
from tests.golden.order_questions import CRITERIA
from tests.support.queries.listed_orders import all_pages, applied, large_event, searching, small_event
from tests.support.source_mutants import Mutant, noticed

__all__ = ["elasticsearch", "installation"]
ALL = OrderSearch(OrderCriteria())


@pytest_asyncio.fixture(loop_scope="session")
async def store(installation: OpenStore) -> AsyncIterator[Any]:
    store = installation()
    yield store
    await store.close()


@pytest_asyncio.fixture(loop_scope="session")
async def asleep(store: PhysicalStore, elasticsearch: AsyncElasticsearch) -> PhysicalStore:
    """A store of which nothing becomes searchable by itself."""
    await put_to_sleep(elasticsearch, store.names.orders)
    return store


async def test_a_refresh_shows_what_was_applied(asleep: PhysicalStore) -> None:
    await asleep.apply([an_event(str(uuid.uuid4()), 1)])
    assert (await asleep.search(ALL)).total == 0
    await asleep.refresh()
    assert (await asleep.search(ALL)).total == 1


async def _read_by_total(store: PhysicalStore) -> list[str]:
    """Reads pages of one order, while the largest has already become the smallest without being searchable so."""
    ids = [str(uuid.UUID(int=number)) for number in range(1, 4)]
    await applied(store, [small_event(order_id, 1, 300 - 100 * n) for n, order_id in enumerate(ids)])
    await store.apply([small_event(ids[0], 2, 5)])
    seen = await all_pages(searching(store), OrderSort.TOTAL_DESC, store.refresh, size=1)
    assert len(seen) == len(set(seen)), f"{seen} came twice"
    assert set(seen) == set(ids)
    return seen


async def test_what_was_written_before_the_mark_is_on_the_first_page(asleep: PhysicalStore) -> None:
    await _read_by_total(asleep)


@pytest.mark.mutant
async def test_a_mark_without_a_refresh_would_show_an_order_twice(
    asleep: PhysicalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: the mark is taken, and what was written before it is not made searchable."""

    async def unrefreshed(self: ListGate) -> str:
        return await asleep.mark()

    monkeypatch.setattr(ListGate, "mark", unrefreshed)
    with pytest.raises(AssertionError, match="came twice"):
        await _read_by_total(asleep)


async def test_a_mark_does_not_outlive_its_generation(store: PhysicalStore) -> None:
    await applied(store, [an_event(str(uuid.uuid4()), 1)])
    mark = await store.mark()
    assert mark.startswith("g1:")
    with pytest.raises(PageTokenMalformed, match="rebuilt"):
        await store.search(OrderSearch(OrderCriteria(), since=mark.replace("g1", "g2")))


@pytest.mark.parametrize("page", [1, 7, 50])
async def test_groups_are_the_same_in_pages_of_any_size(
    store: PhysicalStore, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    await applied(store, order_book())
    for dimensions in ((Dimension.COUNTRY, Dimension.STATE), (Dimension.PRODUCT,)):
        for percentiles in ((), (50.0, 0.0, 50.0)):
            asked = OrderSummaries(CRITERIA["two states"], dimensions, 12, percentiles)
            whole = await store.summarize(asked)
            with monkeypatch.context() as patch:
                patch.setattr(grouping, "GROUPS_AT_ONCE", page)
                patch.setattr(grouping, "GROUPS_WITH_PERCENTILES_AT_ONCE", page)
                assert await store.summarize(asked) == whole


@pytest.mark.mutant
async def test_a_sum_in_floating_point_would_not_do(store: PhysicalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant: sums of any size are taken as Elasticsearch gives them."""
    await applied(store, order_book())
    totals = sum(event.order["total"] or 0 for event in order_book() if event.order["currency_code"] == "VND")
    asked = OrderSummaries(OrderCriteria(currency_code="VND"), (Dimension.STATE,))
    assert sum(group.total for group in (await store.summarize(asked)).groups) == totals
    monkeypatch.setattr(groups, "EXACT_BELOW", 2**80)
    assert sum(group.total for group in (await store.summarize(asked)).groups) != totals


@pytest.mark.mutant
async def test_a_histogram_of_all_totals_would_fail(store: PhysicalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant: a group's totals are put into one histogram however far apart they are."""
    await applied(store, [large_event(total) for total in (1, 2**61)])
    asked = OrderSummaries(OrderCriteria(), (Dimension.STATE,), percentiles=(50.0,))
    assert (await store.summarize(asked)).groups[0].percentiles == (1,)
    monkeypatch.setattr(grouping, "_IN_HISTOGRAM_BELOW", 2**62)
    with pytest.raises(DependencyDown, match="histogram"):
        await store.summarize(asked)


@pytest.mark.mutant
async def test_a_percentile_without_its_ends_would_be_beyond_them(
    store: PhysicalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: percentiles of any kind are taken from Elasticsearch's histogram."""
    total = 123_456_789
    await applied(store, [large_event(total)])
    asked = OrderSummaries(OrderCriteria(), (Dimension.STATE,), percentiles=(50.0, 100.0))
    assert (await store.summarize(asked)).groups[0].percentiles == (total, total)
    monkeypatch.setattr(grouping, "_of_all", lambda percentile, found, least, largest: found)
    assert (await store.summarize(asked)).groups[0].percentiles != (total, total)


async def test_an_index_that_is_closed_or_gone_is_no_empty_list(
    store: PhysicalStore, elasticsearch: AsyncElasticsearch
) -> None:
    summaries = OrderSummaries(OrderCriteria(), (Dimension.DAY,))
    await elasticsearch.indices.close(index=store.names.orders)
    for question in (store.search(ALL), store.summarize(summaries), store.customer("X", recent=1), store.refresh()):
        with pytest.raises(DependencyDown):
            await question
    with pytest.raises(DependencyDown):
        await store.mark()
    await elasticsearch.indices.delete(index=f"{store.names.orders}-g1")
    for question in (store.search(ALL), store.summarize(summaries), store.customer("X", recent=1), store.refresh()):
        with pytest.raises(ReadStoreNotReady, match="migrate"):
            await question
    with pytest.raises(ReadStoreNotReady, match="migrate"):
        await store.mark()


async def check_parked_orders(store: PhysicalStore) -> None:
    """Parks orders, and asks at once which are parked."""
    ids = {str(uuid.uuid4()) for _ in range(7)}
    for order_id in ids:
        await store.park(a_parked_event(order_id, 1))
    assert set(await store.parked_orders()) == ids


async def test_many_parked_orders_are_all_known(store: PhysicalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "_PARKED_AT_ONCE", 3)
    await check_parked_orders(store)


@pytest.mark.mutant
async def test_a_parked_order_that_searches_do_not_find_is_noticed(
    store: PhysicalStore, elasticsearch: AsyncElasticsearch
) -> None:
    await put_to_sleep(elasticsearch, store.names.parked)
    with noticed(Mutant(ParkingLot._change, '"refresh": "true", ', "")):
        await check_parked_orders(store)


async def check_removal(store: PhysicalStore) -> None:
    """Removes a journal entry that was just written."""
    order_id = str(uuid.uuid4())
    events = [an_event(order_id, version) for version in (1, 2)]
    await store.apply(events)
    await store.remove(order_id, above=1)
    assert await store.entries(order_id, [1, 2]) == [events[0].event, None]


@pytest.mark.mutant
async def test_an_entry_that_is_not_found_and_stays_is_noticed(
    store: PhysicalStore, elasticsearch: AsyncElasticsearch
) -> None:
    await put_to_sleep(elasticsearch, store.names.entries)
    await check_removal(store)
    with noticed(Mutant(IndexUpkeep.remove, "/_refresh", "/_count")):
        await check_removal(store)
