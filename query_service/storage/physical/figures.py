"""Computes figures by group with composite aggregations, which return every group. So sums and ranks are exact.

Elasticsearch adds in floating point, which is exact below 2⁵³. Its percentile histogram refuses totals that are too far
apart. Beyond these limits this module computes sums and percentiles from the distinct values and their counts.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from query_service.application.ports.order_questions import (
    CANCELLED_STATES,
    DIMENSION_FIELDS,
    CustomerFigures,
    Dimension,
    FoundFigures,
    OrderCriteria,
    OrderFigures,
    OrderSort,
    OrderSummaries,
    nearest_rank,
    rank,
)
from query_service.storage.physical.connection import ElasticsearchConnection
from query_service.storage.physical.criteria import Query, query
from query_service.storage.physical.lists import search, sorting
from query_service.storage.physical.names import IndexNames

#: Groups per request. With percentiles, Elasticsearch keeps a histogram of about 100 KiB for each of them.
GROUPS_AT_ONCE, GROUPS_WITH_PERCENTILES_AT_ONCE = 10_000, 200
#: Groups per request for totals by currency: more than there are currencies, so one request returns all.
CURRENCIES_AT_ONCE = 1_000
_EXACT_BELOW = 2**53
#: Three digits keep a percentile within 0.1 % of an order's total.
_PERCENTILE_DIGITS = 3
#: A histogram refuses negative numbers, and numbers too far apart. It counts totals from 0 to below this.
_IN_HISTOGRAM_BELOW = 2**51
_SUMS = ("quantity", "net_total", "tax_total", "freight", "total")
_LINE_FIELDS = {"quantity": "quantity", "net_total": "net_amount", "tax_total": "tax_amount", "total": "total"}


@dataclass(frozen=True, slots=True)
class _Grouping:
    """Describes an aggregation: the filter that selects the orders, the dimensions that they are grouped by, and
    whether totals are computed per order line or per order."""

    criteria: OrderCriteria
    dimensions: tuple[Dimension, ...]
    by_line: bool
    percentiles: tuple[float, ...] = ()
    #: If set, the aggregation is restricted to these groups, but may return some others too.
    only: tuple[OrderFigures, ...] = ()

    @property
    def size(self) -> int:
        """The number of groups per request."""
        if not self.dimensions:
            return CURRENCIES_AT_ONCE
        return GROUPS_WITH_PERCENTILES_AT_ONCE if self.percentiles else GROUPS_AT_ONCE

    def field(self, dimension: Dimension) -> str:
        """Returns the field that holds a dimension's key."""
        if not self.by_line:
            return DIMENSION_FIELDS[dimension]
        return "sales.sku" if dimension is Dimension.PRODUCT else f"sales.{DIMENSION_FIELDS[dimension]}"

    def summed(self) -> Mapping[str, str]:
        """Returns the summed field of each figure."""
        if self.by_line:
            return {figure: f"sales.{field}" for figure, field in _LINE_FIELDS.items()}
        return {figure: figure for figure in _SUMS}

    def sources(self) -> list[Query]:
        """Returns the composite's sources: every dimension, and the currency."""
        fields = [self.field(dimension) for dimension in self.dimensions]
        fields.append("sales.currency_code" if self.by_line else "currency_code")
        return [
            {str(number): {"terms": {"field": field, "missing_bucket": True}}} for number, field in enumerate(fields)
        ]

    def metrics(self) -> Query:
        """Returns the aggregations within each group: sums, and what percentiles need."""
        asked: Query = {figure: {"sum": {"field": field}} for figure, field in self.summed().items()}
        if self.by_line:
            asked["orders"] = {"reverse_nested": {}}
        if self.percentiles:
            asked |= {name: {name: {"field": self.summed()["total"]}} for name in ("min", "max")}
            percentiles = {
                "field": self.summed()["total"],
                "percents": sorted(set(self.percentiles)),
                "hdr": {"number_of_significant_value_digits": _PERCENTILE_DIGITS},
                "keyed": False,
            }
            asked["histogram"] = {
                "filter": {"range": {self.summed()["total"]: {"gte": 0, "lt": _IN_HISTOGRAM_BELOW}}},
                "aggs": {"percentiles": {"percentiles": percentiles}},
            }
        return asked

    def wrapped(self, composite: Query) -> Query:
        """Wraps a composite so that it counts the right documents: orders, or nested lines."""
        restrictions = [
            {"terms": {self.field(dimension): sorted({figures.keys[number] for figures in self.only})}}
            for number, dimension in enumerate(self.dimensions)
            if self.only
        ]
        aggregation: Query = {"filter": {"bool": {"filter": restrictions}}, "aggs": {"groups": composite}}
        if self.by_line:
            return {"nested": {"path": "sales"}, "aggs": {"counted": aggregation}}
        return aggregation

    def unwrapped(self, answer: Any) -> Any:
        """Returns the composite's part of an answer; the inverse of `wrapped`."""
        return (answer["counted"] if self.by_line else answer)["groups"]

    def figures(self, bucket: Any) -> OrderFigures:
        """Returns a bucket's figures, without percentiles where the histogram does not have all its totals."""
        *keys, currency_code = (value or "" for value in bucket["key"].values())
        return OrderFigures(
            tuple(keys),
            currency_code,
            orders=bucket["orders"]["doc_count"] if self.by_line else bucket["doc_count"],
            percentiles=self._percentiles(bucket) if self.percentiles else (),
            **{figure: int(bucket[figure]["value"]) for figure in self.summed()},
        )

    def _percentiles(self, bucket: Any) -> tuple[int, ...]:
        least, largest = int(bucket["min"]["value"] or 0), int(bucket["max"]["value"] or 0)
        if least < 0 or largest >= _IN_HISTOGRAM_BELOW:
            return ()
        values = bucket["histogram"]["percentiles"]["values"]
        found = {value["key"]: round(value["value"] or 0) for value in values}
        return tuple(_of_all(percentile, found[percentile], least, largest) for percentile in self.percentiles)


class FigureReader:
    """Implements the figures of OrderQuestions."""

    def __init__(self, connection: ElasticsearchConnection, names: IndexNames) -> None:
        self._connection, self._names = connection, names

    async def summarize(self, asked: OrderSummaries) -> FoundFigures:
        """See OrderQuestions. Totals and the first page of groups are from one moment, later pages are not."""
        all_groups = _Grouping(asked.criteria, asked.dimensions, asked.by_line)
        overall = replace(all_groups, dimensions=(), percentiles=asked.percentiles)
        wrapped = {"groups": all_groups.wrapped(_composite(all_groups)), "totals": overall.wrapped(_composite(overall))}
        found = await self._ask(asked.criteria, wrapped)
        totals = [overall.figures(bucket) for bucket in overall.unwrapped(found["totals"])["buckets"]]
        largest: list[OrderFigures] = []
        count = 0
        async for page in self._pages(all_groups, all_groups.unwrapped(found["groups"])):
            count += len(page)
            # Make the sums exact before comparing them, because two sums may round to the same number.
            largest = heapq.nsmallest(asked.size, [*largest, *await self._exact(all_groups, page)], key=rank)
        if asked.percentiles and largest:
            chosen = {(group.keys, group.currency_code) for group in largest}
            detailed = replace(all_groups, percentiles=asked.percentiles, only=tuple(largest))
            pages = self._pages(detailed)
            chosen_anew = [g async for page in pages for g in page if (g.keys, g.currency_code) in chosen]
            largest = sorted(await self._exact(detailed, chosen_anew), key=rank)
        return FoundFigures(
            largest,
            sorted(await self._exact(overall, totals), key=lambda total: total.currency_code),
            truncated=count > asked.size,
        )

    async def customer(self, customer_id: str, *, recent: int) -> CustomerFigures:
        """See OrderQuestions."""
        theirs = OrderCriteria(customer_ids=(customer_id,))
        kept = _Grouping(replace(theirs, excluded_states=CANCELLED_STATES), (), by_line=False)
        body = {
            "query": query(theirs),
            "sort": sorting(OrderSort.PLACE_TIME_DESC),
            "size": recent,
            "track_total_hits": True,
            "aggs": {
                "first": {"min": {"field": "place_time"}},
                "last": {"max": {"field": "place_time"}},
                "kept": {
                    "filter": query(kept.criteria),
                    "aggs": {"all": kept.wrapped(_composite(kept))},
                },
            },
        }
        answer = await search(self._connection, self._names.orders, body)
        found = answer["aggregations"]
        totals = [kept.figures(bucket) for bucket in kept.unwrapped(found["kept"]["all"])["buckets"]]
        orders = answer["hits"]["total"]["value"]
        return CustomerFigures(
            orders=orders,
            cancelled_orders=orders - found["kept"]["doc_count"],
            totals=sorted(await self._exact(kept, totals), key=lambda total: total.currency_code),
            first_place_time=_time(found["first"]),
            last_place_time=_time(found["last"]),
            recent=[hit["_source"] for hit in answer["hits"]["hits"]],
        )

    async def _ask(self, criteria: OrderCriteria, aggregations: Query) -> Any:
        body = {"query": query(criteria), "size": 0, "track_total_hits": False, "aggs": aggregations}
        return (await search(self._connection, self._names.orders, body))["aggregations"]

    async def _pages(self, grouping: _Grouping, first: Any = None) -> AsyncIterator[list[OrderFigures]]:
        async for buckets in self._buckets(grouping, _composite(grouping), first):
            yield [grouping.figures(bucket) for bucket in buckets]

    async def _buckets(self, grouping: _Grouping, composite: Query, first: Any = None) -> AsyncIterator[list[Any]]:
        """Yields the pages of all buckets. `first` is the first page if the caller has it already."""
        found = first
        while True:
            if found is None:
                answer = await self._ask(grouping.criteria, {"wrapped": grouping.wrapped(composite)})
                found = grouping.unwrapped(answer["wrapped"])
            yield found["buckets"]
            if len(found["buckets"]) < grouping.size:
                return
            composite = {**composite, "composite": {**composite["composite"], "after": found["after_key"]}}
            found = None

    async def _exact(self, grouping: _Grouping, groups: Iterable[OrderFigures]) -> list[OrderFigures]:
        """Recomputes the groups whose sums floating point may have rounded, or whose totals the histogram lacks."""
        exact = list(groups)
        for figure, field in grouping.summed().items():
            inexact = tuple(group for group in exact if _is_inexact(group, figure, grouping.percentiles))
            if inexact:
                found = await self._values(replace(grouping, percentiles=(), only=inexact), field)
                exact = [
                    _with(group, figure, found[group.keys, group.currency_code], grouping.percentiles)
                    if _is_inexact(group, figure, grouping.percentiles)
                    else group
                    for group in exact
                ]
        return exact

    async def _values(self, grouping: _Grouping, field: str) -> Mapping[tuple[tuple[str, ...], str], _Values]:
        found: defaultdict[tuple[tuple[str, ...], str], _Values] = defaultdict(_Values)
        asked: Query = {"sources": [*grouping.sources(), {"value": {"terms": {"field": field}}}]}
        async for buckets in self._buckets(grouping, {"composite": {"size": grouping.size, **asked}}):
            for bucket in buckets:
                *keys, currency_code, value = bucket["key"].values()
                found[tuple(key or "" for key in keys), currency_code or ""].add(value, bucket["doc_count"])
        return found


class _Values:
    """Computes exact figures from a group's distinct values and their counts. `add` the values in ascending order."""

    def __init__(self) -> None:
        self._counts: list[tuple[int, int]] = []

    def add(self, value: int, count: int) -> None:
        """Adds a value that occurs `count` times."""
        self._counts.append((value, count))

    @property
    def sum(self) -> int:
        """The sum of all values."""
        return sum(value * count for value, count in self._counts)

    def percentile(self, percentile: float) -> int:
        """Returns the value at the nearest rank; 0 without values."""
        left = nearest_rank(percentile, sum(count for _, count in self._counts))
        for value, count in self._counts:
            left -= count
            if left <= 0:
                return value
        return 0


def _is_inexact(group: OrderFigures, figure: str, percentiles: tuple[float, ...]) -> bool:
    lacks_percentiles = figure == "total" and len(group.percentiles) < len(percentiles)
    return lacks_percentiles or abs(getattr(group, figure)) >= _EXACT_BELOW


def _with(group: OrderFigures, figure: str, values: _Values, percentiles: tuple[float, ...]) -> OrderFigures:
    changes: dict[str, Any] = {figure: values.sum}
    if figure == "total" and not group.percentiles:
        changes["percentiles"] = tuple(map(values.percentile, percentiles))
    return replace(group, **changes)


def _of_all(percentile: float, found: int, least: int, largest: int) -> int:
    """Returns the percentile that was found, kept between the least and the largest value, which are exact."""
    if percentile == 0:
        return least
    return largest if percentile == 100 else min(max(found, least), largest)


def _composite(grouping: _Grouping) -> Query:
    return {"composite": {"size": grouping.size, "sources": grouping.sources()}, "aggs": grouping.metrics()}


def _time(found: Any) -> int | None:
    return None if found["value"] is None else int(found["value"])
