"""What pages of orders contain: each selected order once, by id, in every view, and as much as fits."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from command_service.application.exporting import page_room
from command_service.application.exporting.selections import OrderSelection, View
from command_service.domain.commands import HoldOrder, ReleaseOrder
from command_service.domain.order import Order
from command_service.domain.parties import Customer
from command_service.wire.order_messages import order_message
from tests.fixtures.postgres import Templates
from tests.fixtures.write_model import migrated_database
from tests.support.commands.command_application import application, call, place_order
from tests.support.commands.exports import Exports, exporting

ORDERS = 9


@dataclass(frozen=True)
class Shop:
    """A database with orders, sorted by id; the order with number n has n % 3 + 1 versions."""

    url: str
    exports: Exports
    stored: list[Order]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop(migrated_template: Templates) -> AsyncIterator[Shop]:
    async with migrated_database(migrated_template) as url, application(url) as orders, exporting(url) as exports:
        ids = sorted(uuid4() for _ in range(ORDERS))
        for number, order_id in enumerate(ids):
            await orders.place(call(), place_order(order_id, customer=Customer(f"C{number % 2}", "Ann", "", "")))
            for change in (HoldOrder(order_id), ReleaseOrder(order_id))[: number % 3]:
                await orders.change(call(), change)
        yield Shop(url, exports, [await orders.stored(order_id) for order_id in ids])


@pytest.mark.parametrize("page_size", [1, 4, ORDERS, ORDERS + 1])
@pytest.mark.parametrize("view", View)
async def test_every_order_is_on_one_page(shop: Shop, view: View, page_size: int) -> None:
    pages = await shop.exports.order_pages(view, page_size)
    assert [page.ended for page in pages] == [False] * (len(pages) - 1) + [True]
    assert all(0 < len(page.orders) <= page_size for page in pages)
    assert [page.last for page in pages] == [page.orders[-1].head.order_id for page in pages]
    exported = [order for page in pages for order in page.orders]
    assert [(one.head.order_id, one.head.version) for one in exported] == [
        (order.order_id, order.version) for order in shop.stored
    ]
    for one, stored in zip(exported, shop.stored, strict=True):
        assert one.image == (order_message(stored) if view is View.ORDER else None)
        versions = list(range(1, stored.version + 1)) if view is View.JOURNAL else []
        assert [event.link.aggregate_version for event in one.events] == versions
        if one.events:
            newest = one.events[-1]
            assert (newest.hash, newest.link.event_id, newest.link.recorded_at) == (
                one.head.hash,
                one.head.event_id,
                one.head.recorded_at,
            )


@pytest.mark.parametrize("view", View)
async def test_an_export_resumes_after_any_id(shop: Shop, view: View) -> None:
    ids = [order.order_id for order in shop.stored]
    between = UUID(int=ids[4].int + 1)
    for after, rest in ((ids[0], ids[1:]), (ids[4], ids[5:]), (between, ids[5:]), (ids[-1], [])):
        pages = await shop.exports.order_pages(view, 2, OrderSelection(after=after))
        assert [one.head.order_id for page in pages for one in page.orders] == rest
        assert pages[-1].last == (rest[-1] if rest else after)
        assert pages[-1].ended


async def test_each_condition_chooses_orders(shop: Shop) -> None:
    ids, exports = [order.order_id for order in shop.stored], shop.exports
    heads = {one.head.order_id: one.head for one in await exports.orders()}
    assert await exports.ids(OrderSelection(until=ids[3])) == ids[:4]
    assert await exports.ids(OrderSelection(after=ids[1], until=ids[3])) == ids[2:4]
    assert await exports.ids(OrderSelection(after=ids[3], until=ids[3])) == []
    assert await exports.ids(OrderSelection(customer_id="C1")) == ids[1::2]
    assert await exports.ids(OrderSelection(customer_id="nobody")) == []
    assert await exports.ids(OrderSelection(order_ids=(ids[7], ids[2], uuid4()))) == [ids[2], ids[7]]
    by_time = sorted(ids, key=lambda order_id: heads[order_id].recorded_at)
    third = heads[by_time[2]].recorded_at
    assert await exports.ids(OrderSelection(recorded_from=third)) == sorted(by_time[2:])
    assert await exports.ids(OrderSelection(recorded_until=third)) == sorted(by_time[:2])
    just = OrderSelection(recorded_from=third, recorded_until=third + timedelta(microseconds=1))
    assert await exports.ids(just) == [by_time[2]]
    everything = OrderSelection(until=ids[7], customer_id="C0", order_ids=tuple(ids[:6]), recorded_from=third)
    assert await exports.ids(everything) == [order_id for order_id in ids[:6:2] if heads[order_id].recorded_at >= third]


async def test_buckets_choose_orders(shop: Shop) -> None:
    from tandem.orders.partition import partition_of

    ids = [order.order_id for order in shop.stored]
    wanted = (partition_of(ids[0]), partition_of(ids[5]))
    expected = [order_id for order_id in ids if partition_of(order_id) in wanted]
    assert await shop.exports.ids(OrderSelection(partitions=wanted)) == expected


async def test_a_page_ends_before_it_is_too_large(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    size = order_message(shop.stored[0]).ByteSize() + page_room.ELEMENT_BYTES
    monkeypatch.setattr(page_room, "PAGE_BYTES", 2 * size + size // 2)
    pages = await shop.exports.order_pages(View.ORDER)
    assert [len(page.orders) for page in pages] == [2, 2, 2, 2, 1]
    assert [one.head.order_id for page in pages for one in page.orders] == [order.order_id for order in shop.stored]


async def test_a_journal_that_is_larger_than_a_page_continues(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with room for less than one event, each page has one, and an order counts only when it is complete."""
    whole = await shop.exports.orders(View.JOURNAL)
    for room in (10, 10_000):
        monkeypatch.setattr(page_room, "PAGE_BYTES", room)
        pages = await shop.exports.order_pages(View.JOURNAL, 4)
        parts = [one for page in pages for one in page.orders]
        assert all(len(page.orders) == 1 for page in pages if page.orders[-1].continues)
        for page, following in itertools.pairwise(pages):
            if page.orders[-1].continues:
                assert following.orders[0].head.order_id == page.orders[-1].head.order_id > page.last
        together = {
            order_id: [event for part in group for event in part.events]
            for order_id, group in itertools.groupby(parts, lambda part: part.head.order_id)
        }
        assert together == {one.head.order_id: one.events for one in whole}
        assert any(one.continues for one in parts) == (room == 10)
