"""What every read store must answer to people who look for an order they can name, and at the ends of figures."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from query_service.application.ports.order_questions import (
    Dimension,
    OrderCriteria,
    OrderSearch,
    OrderSort,
    OrderSummaries,
    SortKey,
)
from query_service.application.ports.read_store import ReadStore
from query_service.projection.project import ProjectedEvent
from tests.golden.order_questions import typed
from tests.support.queries.listed_orders import all_pages, applied, large_event, nothing, searching, small_event
from tests.support.queries.order_events import an_order

#: Three totals each, some of them as far apart as a histogram has room for.
FAR_APART = (
    *((2**63 - 1, 1, 7), (0, 10**16, 1), (2**51, 0, 2**51 - 1), (-7, 10, -(2**63)), (2**62, 2**62, 2**62)),
    *((1, 7, 2**51 - 1), (2**51 - 1, 7, 1)),
)


async def _check_totals_in_units(store: ReadStore) -> None:
    """Smallest and largest first; amounts that their order in minor units would mix up."""
    units = {"CLF": 1, "KWD": 10, "USD": 11, "EUR": 99, "JPY": 5_000, "VND": 2**63 - 1}
    events = [
        small_event(str(uuid.UUID(int=number)), 1, amount, currency=code)
        for number, (code, amount) in enumerate(units.items())
    ]
    await applied(store, events)
    codes = {event.order_id: event.order["currency_code"] for event in events}
    for sort, expected in ((OrderSort.TOTAL_ASC, list(units)), (OrderSort.TOTAL_DESC, [*reversed(units)])):
        seen = await all_pages(searching(store), sort, nothing, size=2)
        assert [codes[order_id] for order_id in seen] == expected


async def _check_an_exact_match(store: ReadStore) -> None:
    """It leads whatever the sort, and no page shows it again; two orders arrive after the first page."""
    ids = [str(uuid.UUID(int=number)) for number in range(1, 7)]
    await applied(store, [small_event(order_id, 1, 100 * n, minute=n) for n, order_id in enumerate(ids)])
    criteria = replace(typed("so 5"), words=(("so",),))  # all have the word, one has the number
    for sort in OrderSort:
        arriving = iter([small_event(str(uuid.uuid4()), 1, total, minute=99) for total in (250, 900)])

        async def between(arriving: Iterator[ProjectedEvent] = arriving) -> None:
            await applied(store, list(arriving))

        seen = await all_pages(searching(store), sort, between, size=1, criteria=criteria)
        assert seen[0] == ids[4], sort
        assert len(seen) == len(set(seen)), sort
        assert set(ids) <= set(seen), sort


class OrderFindingSuite:
    """A part of the suite of questions."""

    @pytest.mark.parametrize("scale", [1, 2**53 + 1], ids=["small", "above floating point"])
    async def test_the_ends_are_the_least_and_the_largest(self, store: ReadStore, scale: int) -> None:
        totals = [1_003 * scale, 17 * scale, 999 * scale + 1]
        await applied(store, [large_event(total) for total in totals])
        asked = OrderSummaries(OrderCriteria(), (Dimension.STATE,), percentiles=(0.0, 50.0, 100.0))
        found = await store.summarize(asked)
        for figures in (*found.groups, *found.totals):
            assert (figures.percentiles[0], figures.percentiles[2]) == (min(totals), max(totals))
            assert figures.percentiles[1] == pytest.approx(sorted(totals)[1], rel=0.01)

    async def test_totals_may_lie_as_far_apart_as_numbers_do(self, store: ReadStore) -> None:
        groups = {str(number): totals for number, totals in enumerate(FAR_APART)}
        await applied(store, [large_event(total, source) for source, totals in groups.items() for total in totals])
        percentiles = (0.0, 50.0, 50.0, 99.9, 100.0)
        found = await store.summarize(OrderSummaries(OrderCriteria(), (Dimension.SOURCE,), percentiles=percentiles))
        everything = sorted(total for totals in FAR_APART for total in totals)
        expected = {source: sorted(totals) for source, totals in groups.items()}
        assert {figures.keys[0]: (figures.percentiles, figures.total) for figures in found.groups} == {
            source: ((least, middle, middle, largest, largest), least + middle + largest)
            for source, (least, middle, largest) in expected.items()
        }
        middle = everything[len(everything) // 2]
        assert found.totals[0].percentiles == (everything[0], middle, middle, everything[-1], everything[-1])

    @pytest.mark.parametrize("total", [1, 999_999, 123_456_789_012_345, 2**60 + 1])
    async def test_every_percentile_of_one_order_is_its_total(self, store: ReadStore, total: int) -> None:
        await applied(store, [large_event(total)])
        percentiles = (0.0, 1.0, 50.0, 99.9, 100.0)
        found = await store.summarize(OrderSummaries(OrderCriteria(), (Dimension.STATE,), percentiles=percentiles))
        assert [group.percentiles for group in (*found.groups, *found.totals)] == [(total,) * 5] * 2

    async def test_sums_are_exact_beyond_what_a_number_of_the_contract_holds(self, store: ReadStore) -> None:
        totals = {"one": (2**63 - 1, 2**63 - 2), "other": (2**63 - 1, 2**63 - 3), "small": (5, 7)}
        for source, amounts in totals.items():
            await applied(store, [large_event(amount, source) for amount in amounts])
        found = await store.summarize(OrderSummaries(OrderCriteria(), (Dimension.SOURCE,), size=1))
        assert [(group.keys, group.total) for group in found.groups] == [(("one",), 2**64 - 3)]
        assert [total.total for total in found.totals] == [sum(sum(amounts) for amounts in totals.values())]
        customer = an_order().customer.customer_id
        assert (await store.customer(customer, recent=1)).totals[0].total == found.totals[0].total

    async def test_totals_of_several_currencies_are_sorted_by_their_units(
        self, store: ReadStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await _check_totals_in_units(store)
        # The mutant: minor units are compared, whatever they are worth.
        monkeypatch.setattr(SortKey, "is_total", property(lambda _: False))
        with pytest.raises(AssertionError):
            await _check_totals_in_units(store)

    async def test_an_exact_match_leads_whatever_the_sort_and_comes_once(self, store: ReadStore) -> None:
        await _check_an_exact_match(store)

    @pytest.mark.mutant
    async def test_a_page_that_forgets_the_exact_ones_is_noticed(
        self, store: ReadStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The mutant: where a page begins does not say whether the exact matches are through."""
        search = store.search

        async def forgetful(asked: OrderSearch) -> Any:
            return await search(replace(asked, after=asked.after and asked.after._replace(exact=False)))

        monkeypatch.setattr(store, "search", forgetful)
        with pytest.raises(AssertionError):
            await _check_an_exact_match(store)
