"""What every read store must answer to questions over many orders: the golden answers, and lists that stay right while
orders arrive and change."""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import pytest_asyncio

from query_service.application.calendars.time_zone import TimeZone, time_zone
from query_service.application.ports.errors import PageTokenMalformed
from query_service.application.ports.order_questions import (
    SORT_KEYS,
    Dimension,
    OrderCriteria,
    OrderSearch,
    OrderSort,
    OrderSummaries,
)
from query_service.application.ports.read_store import ReadStore
from query_service.projection.project import ProjectedEvent
from tests.conformance import local_days
from tests.conformance.local_days import check_local_days, check_order_without_time
from tests.conformance.order_finding_suite import OrderFindingSuite
from tests.conformance.order_label_suite import OrderLabelSuite
from tests.conformance.read_store_suite import OpenStore, a_parked_event, an_event
from tests.golden.order_book import order_book
from tests.golden.order_questions import ANSWERS, as_text, exact_answers, percentile_answers, text_answers
from tests.support.queries.listed_orders import all_pages, applied, searching, small_event

FEW_ORDERS, MANY_ORDERS = 1_000, 5_000
#: Orders on a page. While a list is read a tenth of the orders arrive and as many change, so many after each page.
PAGE, AFTER_A_PAGE = 50, 10


@dataclass
class Shop:
    """Orders that arrive and change while somebody reads the list."""

    store: ReadStore
    chance: random.Random
    #: Order id → version and minute of its place time.
    orders: dict[str, tuple[int, int]]
    changed: set[str]
    size: int
    arrived: int = 0

    @classmethod
    async def opened(cls, store: ReadStore, seed: int, size: int) -> Shop:
        """A shop with all its orders, and as many equal totals as different ones."""
        shop = cls(store, random.Random(seed), {}, set(), size)
        await applied(store, [shop._order() for _ in range(size)])
        return shop

    def _order(self) -> ProjectedEvent:
        order_id, minute = str(uuid.UUID(int=self.chance.getrandbits(128))), self.chance.randrange(2_000)
        self.orders[order_id] = 1, minute
        return small_event(order_id, 1, self.chance.randrange(2_000), minute)

    async def go_on(self, arriving: int, changing: int) -> None:
        """So many orders arrive and so many of the others change, all at once."""
        self.arrived += arriving
        ids = self.chance.sample(sorted(self.orders), changing)
        self.changed.update(ids)
        events = [self._order() for _ in range(arriving)]
        for order_id in ids:
            version, minute = self.orders[order_id]
            self.orders[order_id] = version + 1, minute
            events.append(small_event(order_id, version + 1, self.chance.randrange(2_000), minute))
        await applied(self.store, events)


async def read_while_it_goes_on(shop: Shop, sort: OrderSort) -> None:
    """The check: no order twice, none that stood still missing."""
    before = set(shop.orders)
    shop.changed, shop.arrived = set(), 0
    tenth = shop.size // 10

    async def between() -> None:
        if shop.arrived < tenth:
            await shop.go_on(AFTER_A_PAGE, AFTER_A_PAGE)

    seen = await all_pages(searching(shop.store), sort, between, size=PAGE)
    twice = len(seen) - len(set(seen))
    missing = before - shop.changed - set(seen)
    assert shop.arrived == tenth
    assert len(shop.changed) > tenth * 0.9
    assert not twice, f"{sort}: {twice} orders came twice"
    assert not missing, f"{sort}: {len(missing)} orders that stood still are missing"
    assert len(set(seen)) > shop.size * 0.9


async def all_sorts_while_it_goes_on(store: ReadStore, orders: int) -> None:
    """The check of every sort, in a shop that begins with so many orders."""
    shop = await Shop.opened(store, 11, orders)
    for sort in OrderSort:
        await read_while_it_goes_on(shop, sort)


class OrderQuestionSuite(OrderFindingSuite, OrderLabelSuite):
    """The suite. `installation` of the subclass gives a way to open one empty, prepared installation repeatedly."""

    name: ClassVar[str]

    @pytest_asyncio.fixture(loop_scope="session")
    async def store(self, installation: OpenStore) -> AsyncIterator[ReadStore]:
        store = installation()
        yield store
        await store.close()

    # -- golden answers ------------------------------------------------------------------------------------------

    async def test_lists_counts_and_sums_are_the_golden_ones(self, store: ReadStore) -> None:
        await applied(store, order_book())
        found, expected = await exact_answers(store), (ANSWERS / "exact.json").read_text()
        for name, answer in json.loads(expected).items():
            assert json.loads(json.dumps(found[name])) == answer, name
        assert as_text(found) == expected

    async def test_what_a_page_sends_is_the_order(self, store: ReadStore) -> None:
        await applied(store, order_book())
        found = await store.search(OrderSearch(OrderCriteria(), size=len(order_book())))
        book = {event.order_id: event.order for event in order_book()}
        assert [order.encoded == book[order.order_id]["order"] for order in found.orders] == [True] * len(book)
        basic = await store.search(OrderSearch(OrderCriteria(), size=len(book), basic=True))
        assert [(order.order_id, order.position) for order in basic.orders] == [
            (order.order_id, order.position) for order in found.orders
        ]
        assert [order.encoded == book[order.order_id]["basic_order"] for order in basic.orders] == [True] * len(book)
        assert [order.version for order in found.orders] == [book[order.order_id]["version"] for order in found.orders]

    async def test_facets_stand_beside_the_page_and_count_all(self, store: ReadStore) -> None:
        await applied(store, order_book())
        found = await store.search(OrderSearch(OrderCriteria(), size=1, facets=(Dimension.STATE, Dimension.SOURCE)))
        assert set(found.facets) == {Dimension.STATE, Dimension.SOURCE}
        assert sum(count for _, count in found.facets[Dimension.STATE]) == found.total == len(order_book())

    async def test_figures_are_exact_where_floating_point_is_not(self, store: ReadStore) -> None:
        await applied(store, order_book())
        totals = [event.order["total"] or 0 for event in order_book() if event.order["currency_code"] == "VND"]
        found = await store.summarize(OrderSummaries(OrderCriteria(currency_code="VND"), (Dimension.SOURCE,)))
        assert [total.total for total in found.totals] == [sum(totals)]
        assert sum(group.total for group in found.groups) == sum(totals)
        assert any(int(float(group.total)) != group.total for group in found.groups), "floats would do: proves nothing"

    async def test_texts_find_the_golden_orders(self, store: ReadStore) -> None:
        await applied(store, order_book())
        found, expected = await text_answers(store), json.loads((ANSWERS / "text.json").read_text())
        assert set(found) == set(expected)
        for text, ids in expected.items():
            assert set(found[text]) == set(ids), text
        assert expected["konig"]
        assert not expected["onig"]

    async def test_percentiles_are_within_one_percent(self, store: ReadStore) -> None:
        await applied(store, order_book())
        found, expected = await percentile_answers(store), json.loads((ANSWERS / "percentiles.json").read_text())
        assert set(found) == set(expected)
        for group, values in expected.items():
            assert found[group] == pytest.approx(values, rel=0.01), group

    async def test_orders_are_counted_on_their_local_day(self, store: ReadStore) -> None:
        await check_local_days(store)
        await check_order_without_time(store)

    @pytest.mark.mutant
    async def test_a_zone_that_is_ignored_at_the_edge_of_a_day_is_noticed(
        self, store: ReadStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The mutant: the offset of the zone's first years is used for all times."""

        def ignored(name: str) -> TimeZone:
            zone = time_zone(name)
            return replace(zone, starts=zone.starts[:1], offsets=zone.offsets[:1])

        monkeypatch.setattr(local_days, "time_zone", ignored)
        with pytest.raises(AssertionError, match="Europe/Berlin"):
            await check_local_days(store)

    async def test_a_customer_is_the_sum_of_his_orders(self, store: ReadStore) -> None:
        await applied(store, order_book())
        theirs = [event.order for event in order_book() if event.order["customer_id"] == "LILAS"]
        found = await store.customer("LILAS", recent=3)
        assert found.orders == len(theirs)
        assert found.first_place_time == min(order["place_time"] or 0 for order in theirs)
        assert [order["customer_id"] for order in found.recent] == ["LILAS"] * 3
        [euros] = [money for money in found.money if money.currency_code == "EUR"]
        in_euros = [order for order in theirs if order["currency_code"] == "EUR"]
        assert (euros.paid, euros.refunded, euros.returned, euros.refund_due) == tuple(
            sum(order[field] or 0 for order in in_euros)
            for field in ("paid_total", "refunded_total", "returned_total", "refund_due")
        )
        assert min(euros.paid, euros.refunded, euros.returned, euros.refund_due) > 0
        assert (await store.customer("NOBODY", recent=3)).orders == 0

    async def test_nothing_is_summed_up_to_nothing(self, store: ReadStore) -> None:
        found = await store.summarize(OrderSummaries(OrderCriteria(), (Dimension.PRODUCT,), percentiles=(50.0,)))
        assert (found.groups, found.totals, found.truncated) == ([], [], False)
        assert (await store.search(OrderSearch(OrderCriteria(), facets=(Dimension.DAY,)))).total == 0

    # -- lists that are read while orders arrive and change ----------------------------------------------------------

    async def test_pages_stay_right_while_orders_arrive_and_change(self, store: ReadStore) -> None:
        await all_sorts_while_it_goes_on(store, FEW_ORDERS)

    @pytest.mark.mutant
    async def test_without_the_mark_orders_would_come_twice(
        self, store: ReadStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The mutant: nothing counts as changed."""
        shop = await Shop.opened(store, 12, FEW_ORDERS)
        search = store.search

        async def unmarked(asked: OrderSearch) -> Any:
            return await search(replace(asked, since=""))

        monkeypatch.setattr(store, "search", unmarked)
        for sort in (sort for sort in OrderSort if SORT_KEYS[sort].returns):
            with pytest.raises(AssertionError, match=rf"{sort}.* came twice"):
                await read_while_it_goes_on(shop, sort)

    @pytest.mark.mutant
    async def test_without_the_id_orders_of_equal_rank_would_be_missing(
        self, store: ReadStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The mutant: a page begins behind all orders that are equal to the last one given."""
        shop = await Shop.opened(store, 13, FEW_ORDERS)
        search = store.search

        async def idless(asked: OrderSearch) -> Any:
            after = None if asked.after is None else asked.after._replace(order_id="~")
            return await search(replace(asked, after=after))

        monkeypatch.setattr(store, "search", idless)
        with pytest.raises(AssertionError, match=r"PLACE_TIME_DESC.* are missing"):
            await read_while_it_goes_on(shop, OrderSort.PLACE_TIME_DESC)

    async def test_an_order_that_moves_within_the_unread_part_is_given(self, store: ReadStore) -> None:
        ids = [str(uuid.UUID(int=number)) for number in range(1, 7)]
        await applied(store, [small_event(order_id, 1, 600 - 100 * n) for n, order_id in enumerate(ids)])
        moving = [small_event(ids[5], 2, 350), small_event(ids[0], 2, 340)]

        async def between() -> None:
            # The last rises; the first, which was given, falls behind it.
            await applied(store, moving)

        seen = await all_pages(searching(store), OrderSort.TOTAL_DESC, between, size=2)
        assert seen == [ids[0], ids[1], ids[2], ids[5], ids[3], ids[4]]

    async def test_an_order_that_moved_long_ago_is_given(self, store: ReadStore) -> None:
        ids = [str(uuid.UUID(int=number)) for number in range(1, 5)]
        await applied(store, [small_event(order_id, 1, 400 - 100 * n) for n, order_id in enumerate(ids)])
        await applied(store, [small_event(ids[0], 2, 5)])

        async def between() -> None:
            await applied(store, [small_event(str(uuid.uuid4()), 1, 900)])

        seen = await all_pages(searching(store), OrderSort.TOTAL_DESC, between, size=1)
        assert seen == [ids[1], ids[2], ids[3], ids[0]]

    async def test_a_mark_of_another_read_model_is_refused(self, store: ReadStore) -> None:
        await applied(store, [an_event(str(uuid.uuid4()), 1)])
        for mark in ("elsewhere:1", "1", ":", "g1:x", f"{await store.mark()}x"):
            with pytest.raises(PageTokenMalformed, match="begin again"):
                await store.search(OrderSearch(OrderCriteria(), since=mark))

    # -- parked orders -------------------------------------------------------------------------------------------------

    async def test_parked_orders_are_known_until_they_heal(self, store: ReadStore) -> None:
        waiting, healed, whole = (str(uuid.uuid4()) for _ in range(3))
        await store.apply([an_event(waiting, 1), an_event(healed, 1), an_event(whole, 1)])
        for order_id in (waiting, healed):
            await store.park(a_parked_event(order_id, 2))
        await store.park(a_parked_event(None, 0, sequence=7))
        await _searchable_parking(store)
        assert {order: tuple(v) for order, v in (await store.parked_orders()).items()} == {waiting: (2,), healed: (2,)}
        await store.apply([an_event(healed, 3)])
        assert set(await store.parked_orders()) == {waiting}


async def _searchable_parking(store: ReadStore) -> None:
    """Parked orders are listed a second after they were parked, at the latest."""
    deadline = time.monotonic() + 120
    while len(await store.parked_orders()) < 2:
        assert time.monotonic() < deadline, "parked orders were not listed"
