"""Describes an aggregation over groups: what it asks Elasticsearch for, and how its answer is read.

Elasticsearch's percentile histogram refuses totals that are too far apart. Such a group gets no percentiles here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from query_service.application.ports.order_questions import (
    DIMENSION_FIELDS,
    Dimension,
    OrderCriteria,
    OrderFigures,
)
from query_service.storage.physical.criteria import Query, query

#: Groups per request. With percentiles, Elasticsearch keeps a histogram of about 100 KiB for each of them.
GROUPS_AT_ONCE, GROUPS_WITH_PERCENTILES_AT_ONCE = 10_000, 200
#: Groups per request for totals by currency: more than there are currencies, so one request returns all.
CURRENCIES_AT_ONCE = 1_000
#: Three digits keep a percentile within 0.1 % of an order's total.
_PERCENTILE_DIGITS = 3
#: A histogram refuses negative numbers, and numbers too far apart. It counts totals from 0 to below this.
_IN_HISTOGRAM_BELOW = 2**51
_SUMS = ("quantity", "net_total", "tax_total", "freight", "total")
_LINE_FIELDS = {"quantity": "quantity", "net_total": "net_amount", "tax_total": "tax_amount", "total": "total"}


@dataclass(frozen=True, slots=True)
class Grouping:
    """Describes an aggregation: the filter that selects the orders, the dimensions that they are grouped by, and
    whether totals are computed per order line or per order."""

    criteria: OrderCriteria
    dimensions: tuple[Dimension, ...]
    by_line: bool
    percentiles: tuple[float, ...] = ()
    #: If set, only orders that match this too are counted.
    within: Query | None = None
    #: If set, the aggregation is restricted to these groups, but may return some others too.
    only: tuple[OrderFigures, ...] = ()

    @property
    def size(self) -> int:
        """The number of groups per request."""
        if not self.dimensions:
            return CURRENCIES_AT_ONCE
        return GROUPS_WITH_PERCENTILES_AT_ONCE if self.percentiles else GROUPS_AT_ONCE

    def query(self) -> Query:
        """Returns the query for the orders that are counted."""
        asked = query(self.criteria)
        return asked if self.within is None else {"bool": {"filter": [asked, self.within]}}

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

    def figures(self, buckets: Iterable[Any]) -> list[OrderFigures]:
        """Returns the figures of buckets, without percentiles where the histogram does not have all their totals."""
        by_line = self.by_line
        found = []
        for bucket in buckets:
            *keys, currency_code = [value or "" for value in bucket["key"].values()]
            found.append(
                OrderFigures(
                    tuple(keys),
                    currency_code,
                    bucket["orders"]["doc_count"] if by_line else bucket["doc_count"],
                    int(bucket["quantity"]["value"]),
                    int(bucket["net_total"]["value"]),
                    int(bucket["tax_total"]["value"]),
                    0 if by_line else int(bucket["freight"]["value"]),
                    int(bucket["total"]["value"]),
                    self._percentiles(bucket) if self.percentiles else (),
                )
            )
        return found

    def _percentiles(self, bucket: Any) -> tuple[int, ...]:
        least, largest = int(bucket["min"]["value"] or 0), int(bucket["max"]["value"] or 0)
        if least < 0 or largest >= _IN_HISTOGRAM_BELOW:
            return ()
        values = bucket["histogram"]["percentiles"]["values"]
        found = {value["key"]: round(value["value"] or 0) for value in values}
        return tuple(_of_all(percentile, found[percentile], least, largest) for percentile in self.percentiles)


def composite(grouping: Grouping) -> Query:
    """Returns the composite aggregation of a grouping, whose buckets are its groups."""
    return {"composite": {"size": grouping.size, "sources": grouping.sources()}, "aggs": grouping.metrics()}


def _of_all(percentile: float, found: int, least: int, largest: int) -> int:
    """Returns the percentile that was found, kept between the least and the largest value, which are exact."""
    if percentile == 0:
        return least
    return largest if percentile == 100 else min(max(found, least), largest)
