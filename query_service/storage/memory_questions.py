"""Answers questions over many orders by scanning all documents. Other stores must give the same answers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from query_service.application.calendars.time_zone import TimeZone
from query_service.application.ports.order_matching import matcher
from query_service.application.ports.order_questions import (
    CALENDAR,
    CANCELLED_STATES,
    CUSTOMER_MONEY,
    DIMENSION_FIELDS,
    FACET_LIMIT,
    SORT_KEYS,
    CustomerFigures,
    CustomerMoney,
    Dimension,
    FoundFigures,
    FoundOrder,
    FoundOrders,
    OrderFigures,
    OrderSearch,
    OrderSort,
    OrderSummaries,
    comes_after,
    nearest_rank,
    position_of,
    rank,
)
from query_service.projection.order_document import OrderDocument
from query_service.projection.sales import calendar, calendar_of_day


def search(orders: Iterable[OrderDocument], asked: OrderSearch, changed: Callable[[str], bool]) -> FoundOrders:
    """See OrderQuestions.search."""
    matching = list(filter(matcher(asked.criteria), orders))
    key = asked.criteria.lookup_key
    found = [(order, position_of(order, asked.sort, key)) for order in in_sort(matching, asked.sort, key)]
    after = asked.after
    following = [(order, place) for order, place in found if after is None or comes_after(place, after, asked.sort)]
    return FoundOrders(
        [
            FoundOrder(
                order["order_id"],
                order["version"],
                order["basic_order"] if asked.basic else order["order"],
                place,
                changed(order["order_id"]),
            )
            for order, place in following[: asked.size]
        ],
        len(matching),
        {dimension: _counts(matching, dimension) for dimension in asked.facets},
        label_values=_most_frequent(
            value
            for order in matching
            for key, _, value in (pair.partition("=") for pair in order.get("label_pairs", ()))
            if key == asked.facet_label
        ),
    )


def in_sort(orders: Iterable[OrderDocument], sort: OrderSort, lookup_key: str = "") -> list[OrderDocument]:
    """Returns the orders sorted: exact matches first, then by the sort's key, then by id."""
    by_id = sorted(orders, key=lambda order: order["order_id"])
    by_key = sorted(by_id, key=lambda order: position_of(order, sort).key, reverse=SORT_KEYS[sort].descending)
    return sorted(by_key, key=lambda order: lookup_key not in order["lookup_keys"])


def summarize(orders: Iterable[OrderDocument], asked: OrderSummaries) -> FoundFigures:
    """See OrderQuestions.summarize."""
    facts = [
        fact
        for order in filter(matcher(asked.criteria), orders)
        for fact in (_line_facts(order, asked) if asked.by_line else [_order_fact(order, asked.dimensions, asked.zone)])
    ]
    groups = sorted(_figures(facts, asked.percentiles), key=rank)
    totals = _figures([replace(fact, keys=()) for fact in facts], asked.percentiles)
    return FoundFigures(
        groups[: asked.size], sorted(totals, key=lambda total: total.currency_code), len(groups) > asked.size
    )


def customer(orders: Iterable[OrderDocument], customer_id: str, recent: int) -> CustomerFigures:
    """See OrderQuestions.customer."""
    theirs = in_sort((order for order in orders if order["customer_id"] == customer_id), OrderSort.PLACE_TIME_DESC)
    kept = [order for order in theirs if order["state"] not in CANCELLED_STATES]
    times = [order["place_time"] for order in theirs if order["place_time"] is not None]
    totals = _figures([_order_fact(order, ()) for order in kept], ())
    return CustomerFigures(
        orders=len(theirs),
        cancelled_orders=len(theirs) - len(kept),
        totals=sorted(totals, key=lambda total: total.currency_code),
        first_place_time=min(times, default=None),
        last_place_time=max(times, default=None),
        recent=theirs[:recent],
        money=[_money(theirs, currency) for currency in sorted({order["currency_code"] for order in theirs})],
    )


def _money(orders: Iterable[OrderDocument], currency: str) -> CustomerMoney:
    ours = [order for order in orders if order["currency_code"] == currency]
    sums = {
        figure: sum(order[field] or 0 for order in ours)  # type: ignore[literal-required,misc]
        for figure, field in CUSTOMER_MONEY.items()
    }
    return CustomerMoney(currency, **sums)


def _keys(order: OrderDocument, dimension: Dimension, zone: TimeZone | None = None) -> list[str]:
    if dimension is Dimension.PRODUCT:
        return order["skus"]
    if zone is not None and dimension in CALENDAR:
        time = order["place_time"]
        local = calendar(None) if time is None else calendar_of_day(zone.day(time))
        return [local[DIMENSION_FIELDS[dimension]]]  # type: ignore[literal-required]
    return [order[DIMENSION_FIELDS[dimension]]]  # type: ignore[literal-required]


def _counts(orders: Iterable[OrderDocument], dimension: Dimension) -> list[tuple[str, int]]:
    return _most_frequent(key for order in orders for key in _keys(order, dimension))


def _most_frequent(keys: Iterable[str]) -> list[tuple[str, int]]:
    counted = Counter(keys)
    return sorted(counted.items(), key=lambda count: (-count[1], count[0]))[:FACET_LIMIT]


@dataclass(frozen=True, slots=True)
class _Fact:
    """What one order, or one line of it, adds to the figures of its group."""

    order_id: str
    keys: tuple[str, ...]
    currency_code: str
    quantity: int
    net_total: int
    tax_total: int
    freight: int
    total: int


def _order_fact(order: OrderDocument, dimensions: tuple[Dimension, ...], zone: TimeZone | None = None) -> _Fact:
    return _Fact(
        order["order_id"],
        tuple(_keys(order, dimension, zone)[0] for dimension in dimensions),
        order["currency_code"],
        order["quantity"],
        order["net_total"] or 0,
        order["tax_total"] or 0,
        order["freight"] or 0,
        order["total"] or 0,
    )


def _line_facts(order: OrderDocument, asked: OrderSummaries) -> Iterator[_Fact]:
    for sale in order["sales"]:
        keys = tuple(
            sale["sku"] if dimension is Dimension.PRODUCT else _keys(order, dimension, asked.zone)[0]
            for dimension in asked.dimensions
        )
        yield _Fact(
            order["order_id"],
            keys,
            order["currency_code"],
            sale["quantity"],
            sale["net_amount"],
            sale["tax_amount"],
            0,
            sale["total"],
        )


def _figures(facts: Iterable[_Fact], percentiles: tuple[float, ...]) -> list[OrderFigures]:
    grouped: defaultdict[tuple[tuple[str, ...], str], list[_Fact]] = defaultdict(list)
    for fact in facts:
        grouped[fact.keys, fact.currency_code].append(fact)
    figures: list[OrderFigures] = []
    for (keys, currency_code), group in grouped.items():
        totals = sorted(fact.total for fact in group)
        figures.append(
            OrderFigures(
                keys,
                currency_code,
                orders=len({fact.order_id for fact in group}),
                quantity=sum(fact.quantity for fact in group),
                net_total=sum(fact.net_total for fact in group),
                tax_total=sum(fact.tax_total for fact in group),
                freight=sum(fact.freight for fact in group),
                total=sum(totals),
                percentiles=tuple(totals[nearest_rank(percentile, len(totals)) - 1] for percentile in percentiles),
            )
        )
    return figures
