"""The table of what finds what, in the stores: one index has the orders of all cases, and every text is asked of it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from elasticsearch import AsyncElasticsearch

from query_service.application.ports.order_questions import OrderCriteria, OrderSearch
from query_service.projection.words.asked import asked_words
from query_service.storage.memory import MemoryStore
from query_service.storage.physical import criteria
from query_service.storage.physical.store import PhysicalStore
from tests.conformance.test_physical_read_store import elasticsearch, installation, store
from tests.golden.word_cases import KINDS
from tests.golden.word_cases.case import Case
from tests.support.queries.listed_orders import applied

__all__ = ["elasticsearch", "installation", "store"]
ALL = tuple(case for cases in KINDS.values() for case in cases)
#: Several cases are about one order.
ORDER_IDS = {key: str(uuid.UUID(int=n)) for n, key in enumerate(dict.fromkeys((c.place, c.stored) for c in ALL), 1)}
AT_ONCE = 200
Found = dict[str, set[str]]


async def _put_in(store: MemoryStore | PhysicalStore, cases: Sequence[Case]) -> None:
    orders = {ORDER_IDS[case.place, case.stored]: case for case in cases}
    await applied(store, [case.order(order_id) for order_id, case in orders.items()])


async def found_in_memory(cases: Sequence[Case]) -> Found:
    """What each text finds among the orders of the cases."""
    store = MemoryStore()
    await _put_in(store, cases)
    found: Found = {}
    for text in {case.asked for case in cases}:
        answer = await store.search(OrderSearch(OrderCriteria(words=asked_words(text)), size=len(cases)))
        found[text] = {order.order_id for order in answer.orders}
    return found


async def found_in_elasticsearch(
    store: PhysicalStore, elasticsearch: AsyncElasticsearch, cases: Sequence[Case]
) -> Found:
    """The same, many questions in a request."""
    await _put_in(store, cases)
    texts = sorted({case.asked for case in cases})
    found: Found = {}
    for start in range(0, len(texts), AT_ONCE):
        some, lines = texts[start : start + AT_ONCE], list[dict[str, Any]]()
        for text in some:
            query = criteria.query(OrderCriteria(words=asked_words(text)))
            lines += [{"index": store.names.orders}, {"query": query, "size": len(cases), "_source": False}]
        answers = await elasticsearch.msearch(searches=lines, filter_path="**._id,**.status,**.error")
        for text, answer in zip(some, answers["responses"], strict=True):
            assert "error" not in answer, (text, answer)
            found[text] = {hit["_id"] for hit in answer.get("hits", {}).get("hits", [])}
    return found


def wrong(found: Found, cases: Sequence[Case]) -> list[str]:
    """The cases that do not hold."""
    ids = ((case, ORDER_IDS[case.place, case.stored]) for case in cases)
    return [str(case) for case, order_id in ids if (order_id in found[case.asked]) is not case.found]


async def test_every_store_finds_what_it_should_and_the_same(
    store: PhysicalStore, elasticsearch: AsyncElasticsearch
) -> None:
    in_memory = await found_in_memory(ALL)
    assert wrong(in_memory, ALL) == []
    in_elasticsearch = await found_in_elasticsearch(store, elasticsearch, ALL)
    assert wrong(in_elasticsearch, ALL) == []
    assert in_elasticsearch == in_memory


@pytest.mark.mutant
async def test_asking_for_one_way_of_writing_would_be_noticed(
    store: PhysicalStore, elasticsearch: AsyncElasticsearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: of the alternatives only the first is looked up."""
    filters = criteria._filters
    monkeypatch.setattr(
        criteria,
        "_filters",
        lambda asked: filters(replace(asked, words=tuple(alternatives[:1] for alternatives in asked.words))),
    )
    some = KINDS["numbers"]
    assert wrong(await found_in_elasticsearch(store, elasticsearch, some), some) != []
