"""What every read store must answer to a label selector, and how it counts the values of a label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from tandem.orders.v1.order_query_service_pb2 import OrderFilter

from query_service.application.ports.label_conditions import LabelCondition
from query_service.application.ports.order_questions import Dimension, OrderCriteria, OrderSearch, OrderSummaries
from query_service.application.ports.read_store import ReadStore
from query_service.wire.order_criteria import criteria_of
from tests.golden.order_book import order_book
from tests.golden.order_questions import typed
from tests.support.queries.listed_orders import applied

Labels = Mapping[str, str]
#: Selector → the same in Python.
SELECTORS: Mapping[str, Callable[[Labels], bool]] = {
    "channel=web": lambda labels: labels.get("channel") == "web",
    "channel==Web": lambda labels: labels.get("channel") == "Web",
    "channel!=web": lambda labels: labels.get("channel") != "web",
    "channel in (web, App)": lambda labels: labels.get("channel") in ("web", "App"),
    "channel notin (web,App)": lambda labels: labels.get("channel") not in ("web", "App"),
    'channel="a, b"': lambda labels: labels.get("channel") == "a, b",
    "tier=": lambda labels: labels.get("tier") == "",
    "tier": lambda labels: "tier" in labels,
    "!tier": lambda labels: "tier" not in labels,
    "tier!=gold": lambda labels: labels.get("tier") != "gold",
    "tier,channel=web": lambda labels: "tier" in labels and labels.get("channel") == "web",
    "!tier,channel!=web,erp/id": lambda labels: (
        "tier" not in labels and labels.get("channel") != "web" and "erp/id" in labels
    ),
    "erp/id in (EXT-0030,EXT-0033,ext-0036)": lambda labels: labels.get("erp/id") in ("EXT-0030", "EXT-0033"),
    "erp=x": lambda labels: False,
}


def selected(selector: str) -> OrderCriteria:
    return criteria_of(OrderFilter(label_selector=selector))


def _split(pair: str) -> tuple[str, str]:
    key, _, value = pair.partition("=")
    return key, value


def labels_of_the_book() -> dict[str, dict[str, str]]:
    """The labels of each order of the book, by the order's id."""
    return {event.order_id: dict(map(_split, event.order.get("label_pairs", []))) for event in order_book()}


async def check_selectors(store: ReadStore) -> None:
    """Every selector finds exactly the orders that the same condition in Python does."""
    book = labels_of_the_book()
    for selector, holds in SELECTORS.items():
        found = await store.search(OrderSearch(selected(selector), size=1_000))
        expected = {order_id for order_id, labels in book.items() if holds(labels)}
        assert {order.order_id for order in found.orders} == expected, selector
        assert found.total == len(expected), selector


class OrderLabelSuite:
    """A part of the suite of questions."""

    async def test_a_selector_finds_what_it_says(self, store: ReadStore) -> None:
        await applied(store, order_book())
        await check_selectors(store)

    @pytest.mark.mutant
    async def test_not_equal_without_the_orders_that_lack_the_key_is_noticed(
        self, store: ReadStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The mutant: what is not equal must be there."""
        await applied(store, order_book())
        search = store.search

        async def strict(asked: OrderSearch) -> Any:
            there = tuple(LabelCondition(each.key) for each in asked.criteria.labels if each.negated and each.values)
            return await search(
                replace(asked, criteria=replace(asked.criteria, labels=(*asked.criteria.labels, *there)))
            )

        monkeypatch.setattr(store, "search", strict)
        with pytest.raises(AssertionError, match="channel!=web"):
            await check_selectors(store)

    async def test_figures_know_selectors_too(self, store: ReadStore) -> None:
        await applied(store, order_book())
        found = await store.summarize(OrderSummaries(selected("tier!=gold,channel"), (Dimension.SOURCE,)))
        expected = [labels for labels in labels_of_the_book().values() if labels.get("tier") != "gold"]
        assert sum(group.orders for group in found.groups) == sum("channel" in labels for labels in expected)

    async def test_values_of_a_label_are_counted_over_all_matches(self, store: ReadStore) -> None:
        await applied(store, order_book())
        for key in ("channel", "tier", "erp/id", "hannel", "t.er"):
            found = await store.search(OrderSearch(selected("!never"), size=1, facet_label=key))
            counted = Counter(labels[key] for labels in labels_of_the_book().values() if key in labels)
            expected = sorted(counted.items(), key=lambda count: (-count[1], count[0]))[:100]
            assert found.label_values == expected, key
            assert found.facets == {}
        assert (await store.search(OrderSearch(OrderCriteria(), size=1))).label_values == []

    async def test_an_id_of_another_system_finds_its_order_first(self, store: ReadStore) -> None:
        await applied(store, order_book())
        wanted = {labels["erp/id"]: order_id for order_id, labels in labels_of_the_book().items() if "erp/id" in labels}
        for text in ("EXT-0030", "ext 0030", "ext0030"):
            found = await store.search(OrderSearch(typed(text), size=5))
            assert [order.order_id for order in found.orders[:1]] == [wanted["EXT-0030"]], text
            assert found.orders[0].position.exact, text
