"""What Elasticsearch keeps of an order is sent as it is: of this edition, and of the version that the answer claims.

An order that another edition has kept is made of its journal entry, which may come a moment after the document.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import pytest_asyncio
from elasticsearch import AsyncElasticsearch
from tandem.orders.v1.order_types_pb2 import Order

from query_service.application.freshness.await_versions import Consistency, VersionWaiter
from query_service.application.freshness.list_gate import ListGate
from query_service.application.freshness.notice_board import NoticeBoard
from query_service.application.freshness.parked_orders import ParkedOrders
from query_service.application.freshness.view import FreshnessView
from query_service.application.ports.errors import DependencyDown, Lagging, RebuildNeeded
from query_service.application.ports.order_questions import OrderCriteria, OrderSearch, OrderSort
from query_service.application.questions.batch_get_orders import BatchGetOrders
from query_service.application.questions.customer_summary import GetCustomerSummary
from query_service.application.questions.encoded_orders import _again, encoded_orders
from query_service.application.questions.get_order import GetOrder
from query_service.projection.project import ProjectedEvent
from query_service.storage.physical import kept_orders
from query_service.storage.physical.hits import read_page
from query_service.storage.physical.kept_orders import encoded_order, kept
from query_service.storage.physical.reader import DocumentReader
from query_service.storage.physical.store import PhysicalStore
from tests.conformance.read_store_suite import OpenStore, an_event
from tests.conformance.test_physical_read_store import elasticsearch, installation
from tests.support.queries.listed_orders import applied, list_gate, searching
from tests.support.source_mutants import Mutant, noticed

__all__ = ["elasticsearch", "installation"]

Check = Callable[[PhysicalStore, AsyncElasticsearch], Awaitable[None]]


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


@contextmanager
def another_release(event: ProjectedEvent) -> Iterator[None]:
    """Within the block, the next edition encodes orders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept_orders, "PRINT", b"next")
        patch.setitem(event.order, "order", b"of a contract to come")
        patch.setitem(event.order, "basic_order", b"of a contract to come")
        yield


async def by_another_release(store: PhysicalStore) -> ProjectedEvent:
    """An order that a release with the next edition has written."""
    event = an_event(str(uuid.uuid4()), 2)
    with another_release(event):
        await applied(store, [event])
    return event


async def test_what_another_release_has_kept_is_made_anew(store: PhysicalStore) -> None:
    await check(store, await by_another_release(store))


@pytest.mark.mutant
async def test_what_another_edition_kept_and_is_sent_as_it_is_is_noticed(store: PhysicalStore) -> None:
    event = await by_another_release(store)
    with noticed(Mutant(encoded_order, "not kept_bytes.startswith(PRINT)", "False")):
        await check(store, event)


async def test_what_is_kept_illegibly_is_made_anew_or_refused(
    store: PhysicalStore, elasticsearch: AsyncElasticsearch
) -> None:
    event = an_event(str(uuid.uuid4()), 2)
    await store.apply([event])
    for wrong in (
        {"order": "AA==", "basic_order": "AA=="},
        {"order": None, "basic_order": None},
        {"order": "no base64"},
    ):
        await elasticsearch.update(index=store.names.orders, id=event.order_id, doc=wrong, refresh=True)
        await check(store, event)
    entry = {"payload": "{", "personal": None}
    await elasticsearch.update(index=store.names.entries, id=f"{event.order_id}/2", doc=entry)
    with pytest.raises(RebuildNeeded):
        await shown(store, event)


@pytest.mark.mutant
async def test_a_page_that_fails_because_of_one_illegible_order_is_noticed(
    store: PhysicalStore, elasticsearch: AsyncElasticsearch
) -> None:
    event = an_event(str(uuid.uuid4()), 2)
    await store.apply([event])
    await elasticsearch.update(index=store.names.orders, id=event.order_id, doc={"order": "no base64"}, refresh=True)
    await check(store, event)
    mutant = Mutant(read_page, "except msgspec.ValidationError", "except ZeroDivisionError")
    with noticed(mutant, or_raises=(DependencyDown,)):
        await check(store, event)


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


async def document_first(
    store: PhysicalStore, elasticsearch: AsyncElasticsearch, order_id: str, *, epoch: int = 1
) -> ProjectedEvent:
    """An order of another release whose document is stored already, and whose journal entry is still on its way."""
    event = an_event(order_id, 2, epoch=epoch)
    with another_release(event):
        await elasticsearch.index(
            index=store.names.orders,
            id=order_id,
            document=kept(event.order),
            version=event.external_version,
            version_type="external",
            refresh=True,
        )
    return event


async def asked(store: PhysicalStore, event: ProjectedEvent, wanted: Consistency) -> list[bytes | BaseException]:
    """What the four questions that show orders answer of one, asked together."""
    order_id, gate = event.order_id, list_gate(store)
    waiter = VersionWaiter(NoticeBoard(), FreshnessView(), asyncio.get_running_loop().time, Silent())

    async def batch() -> bytes:
        return (await BatchGetOrders(store, waiter)([order_id], wanted)).found.orders[0]

    async def now() -> bytes:
        return (await GetOrder(store, waiter, finality_margin=0).now(order_id, wanted)).found

    async def listed() -> bytes:
        criteria = OrderCriteria(order_ids=(order_id,))
        return (await searching(store)(criteria, OrderSort.PLACE_TIME_DESC, 1, wanted)).found.orders[0].encoded

    async def recent() -> bytes:
        summary = await GetCustomerSummary(store, gate, ParkedOrders())(event.order["customer_id"], wanted)
        return next(
            encoded
            for document, encoded in zip(summary.found.figures.recent, summary.found.recent, strict=True)
            if document["order_id"] == order_id
        )

    return list(await asyncio.gather(batch(), now(), listed(), recent(), return_exceptions=True))


async def check_a_late_entry(store: PhysicalStore, elasticsearch: AsyncElasticsearch) -> None:
    """The entry comes when the store has said four times that it is not there."""
    event, looked = await document_first(store, elasticsearch, str(uuid.uuid4())), 0
    look_up = DocumentReader._entries

    async def until_late(reader: DocumentReader, order_id: str, versions: Sequence[int]) -> list[dict[str, Any]]:
        nonlocal looked
        found, looked = await look_up(reader, order_id, versions), looked + 1
        if looked == 4:
            await store.apply([event])
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DocumentReader, "_entries", until_late)
        assert await asked(store, event, Consistency(max_wait=30)) == [event.order["order"]] * 4


async def test_an_entry_that_comes_after_its_document_is_waited_for(
    store: PhysicalStore, elasticsearch: AsyncElasticsearch
) -> None:
    await check_a_late_entry(store, elasticsearch)


async def check_no_entry(store: PhysicalStore, elasticsearch: AsyncElasticsearch) -> None:
    event = await document_first(store, elasticsearch, str(uuid.uuid4()))
    for error in await asked(store, event, Consistency(max_wait=0)):
        assert isinstance(error, Lagging), error
        assert (error.order_id, error.needed_version, error.current_version) == (event.order_id, 2, 1)


async def test_an_entry_that_does_not_come_in_time_means_that_the_read_model_lags(
    store: PhysicalStore, elasticsearch: AsyncElasticsearch
) -> None:
    await check_no_entry(store, elasticsearch)


async def check_an_older_entry(store: PhysicalStore, elasticsearch: AsyncElasticsearch) -> None:
    """A source that was set back gave version 2 twice; the entry is still of the first time."""
    order_id = str(uuid.uuid4())
    await store.apply([an_event(order_id, 2)])
    newer = await document_first(store, elasticsearch, order_id, epoch=2)
    found = await asked(store, newer, Consistency(max_wait=0))
    assert [type(answer) for answer in found] == [Lagging] * 4
    await store.apply([newer])
    assert await asked(store, newer, Consistency(max_wait=0)) == [newer.order["order"]] * 4


async def test_the_entry_of_an_older_event_is_not_shown_for_a_newer_document(
    store: PhysicalStore, elasticsearch: AsyncElasticsearch
) -> None:
    await check_an_older_entry(store, elasticsearch)


@pytest.mark.mutant
@pytest.mark.parametrize(
    ("mutant", "check"),
    [
        (Mutant(_again, ' or entry["hash"] != document["hash"]', ""), check_an_older_entry),
        (Mutant(_again, "raise Lagging(", 'raise RebuildNeeded("order") or Lagging('), check_no_entry),
        (Mutant(VersionWaiter._attempt, "except Lagging as", "except ZeroDivisionError as"), check_a_late_entry),
        (Mutant(ListGate.read, "except Lagging as", "except ZeroDivisionError as"), check_a_late_entry),
    ],
    ids=["an older entry is shown", "the caller is sent away", "a look-up does not wait", "a list does not wait"],
)
async def test_an_entry_that_is_not_compared_or_not_waited_for_is_noticed(
    store: PhysicalStore, elasticsearch: AsyncElasticsearch, mutant: Mutant, check: Check
) -> None:
    with noticed(mutant):
        await check(store, elasticsearch)
