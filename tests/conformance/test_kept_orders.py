"""What Elasticsearch keeps of an order is sent as it is: of this edition, and of the version that the answer claims."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from elasticsearch import AsyncElasticsearch
from tandem.orders.v1.order_types_pb2 import Order

from query_service.application.freshness.await_versions import Consistency, VersionWaiter
from query_service.application.freshness.notice_board import NoticeBoard
from query_service.application.freshness.view import FreshnessView
from query_service.application.ports.errors import RebuildNeeded
from query_service.application.ports.order_questions import OrderCriteria, OrderSearch
from query_service.application.questions.batch_get_orders import BatchGetOrders
from query_service.application.questions.encoded_orders import encoded_orders
from query_service.application.questions.get_order import GetOrder
from query_service.projection.project import ProjectedEvent
from query_service.storage.physical import kept_orders
from query_service.storage.physical.kept_orders import document_of, kept
from query_service.storage.physical.store import PhysicalStore
from tests.conformance.read_store_suite import OpenStore, an_event
from tests.conformance.test_physical_read_store import elasticsearch, installation
from tests.support.queries.listed_orders import applied
from tests.support.source_mutants import Mutant, noticed

__all__ = ["elasticsearch", "installation"]


@pytest_asyncio.fixture(loop_scope="session")
async def store(installation: OpenStore) -> AsyncIterator[Any]:
    store = installation()
    yield store
    await store.close()


class Silent:
    """Counts nothing."""

    def waited(self, outcome: str, seconds: float) -> None:
        """See WaitObserver."""


async def shown(store: PhysicalStore, event: ProjectedEvent) -> list[bytes]:
    """What each question answers of an order: the whole order four times, and twice its basic view."""
    waiter = VersionWaiter(NoticeBoard(), FreshnessView(), asyncio.get_running_loop().time, Silent())
    order_id, wanted = event.order_id, Consistency(1, {event.order_id: event.version})
    now = await GetOrder(store, waiter, finality_margin=0).now(order_id, wanted)
    batch = BatchGetOrders(store, waiter)
    found = [
        (await store.search(OrderSearch(OrderCriteria(order_ids=(order_id,)), basic=basic))).orders
        for basic in (False, True)
    ]
    recent = (await store.customer(event.order["customer_id"], recent=50)).recent
    theirs = [order for order in recent if order["order_id"] == order_id]
    return [
        now.found,
        *(await batch([order_id], wanted)).found.orders,
        *(order.encoded for order in found[0]),
        *await encoded_orders(theirs, store.entries),
        *(await batch([order_id], wanted, basic=True)).found.orders,
        *(order.encoded for order in found[1]),
    ]


async def check(store: PhysicalStore, event: ProjectedEvent) -> None:
    assert await shown(store, event) == [event.order["order"]] * 4 + [event.order["basic_order"]] * 2


async def by_another_release(store: PhysicalStore) -> ProjectedEvent:
    """An order that a release with the next edition has written."""
    event = an_event(str(uuid.uuid4()), 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept_orders, "PRINT", b"next")
        patch.setitem(event.order, "order", b"of a contract to come")
        patch.setitem(event.order, "basic_order", b"of a contract to come")
        await applied(store, [event])
    return event


async def test_what_another_release_has_kept_is_made_anew(store: PhysicalStore) -> None:
    await check(store, await by_another_release(store))


@pytest.mark.mutant
async def test_what_another_edition_kept_and_is_sent_as_it_is_is_noticed(store: PhysicalStore) -> None:
    event = await by_another_release(store)
    with noticed(Mutant(document_of, "encoded.startswith(PRINT)", "True")):
        await check(store, event)


async def test_what_is_kept_illegibly_is_made_anew_or_refused(
    store: PhysicalStore, elasticsearch: AsyncElasticsearch
) -> None:
    event = an_event(str(uuid.uuid4()), 2)
    await store.apply([event])
    for wrong in ({"order": "AA==", "basic_order": "AA=="}, {"order": None, "basic_order": None}):
        await elasticsearch.update(index=store.names.orders, id=event.order_id, doc=wrong, refresh=True)
        await check(store, event)
    await elasticsearch.delete(index=store.names.entries, id=f"{event.order_id}/2")
    with pytest.raises(RebuildNeeded):
        await shown(store, event)


async def check_the_newest(store: PhysicalStore) -> None:
    """Of an order with two versions, the second is sent, whichever came first."""
    for first, second in ((1, 2), (2, 1)):
        order_id = str(uuid.uuid4())
        events = {version: an_event(order_id, version) for version in (1, 2)}
        await applied(store, [events[first]])
        await applied(store, [events[second]])
        assert [Order.FromString(order).version for order in await shown(store, events[2])] == [2] * 6
        await check(store, events[2])


async def test_the_newest_version_is_sent(store: PhysicalStore) -> None:
    await check_the_newest(store)


@pytest.mark.mutant
async def test_the_bytes_of_an_older_version_are_noticed(store: PhysicalStore) -> None:
    remembered = 'kept.__dict__.setdefault(document["order_id"], document["order"])'
    with noticed(Mutant(kept, 'PRINT + document["order"]', f"PRINT + {remembered}")):
        await check_the_newest(store)
