"""Reads the groups of an aggregation page by page, and makes their sums exact.

Elasticsearch adds in floating point, which is exact below 2⁵³. Its percentile histogram refuses totals that are too far
apart. Beyond these limits this module computes sums and percentiles from the distinct values and their counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from query_service.application.ports.order_questions import OrderFigures, nearest_rank
from query_service.storage.physical.connection import ElasticsearchConnection
from query_service.storage.physical.criteria import Query
from query_service.storage.physical.figures.grouping import Grouping, composite
from query_service.storage.physical.lists import generation_of, search

EXACT_BELOW = 2**53
#: The key for the generation that answered; "" when no document matched.
GENERATION = "generation"


class Composed(Protocol):
    """Says which documents a composite aggregation counts."""

    @property
    def size(self) -> int:
        """The number of groups per request."""

    def query(self) -> Query:
        """Returns the query for the documents."""

    def wrapped(self, composite: Query, /) -> Query:
        """Wraps a composite so that it counts the right documents."""

    def unwrapped(self, answer: Any) -> Any:
        """Returns the composite's part of an answer."""


class GroupReader:
    """Reads groups from one index, given by its alias."""

    def __init__(self, connection: ElasticsearchConnection, index: str) -> None:
        self._connection, self._index = connection, index

    async def ask(self, asked: Query, aggregations: Query) -> Any:
        """Returns the aggregations' answers about the documents that match `asked`, and under GENERATION who answered.

        One hit, without its source, tells which generation that is.
        """
        body = {
            "query": asked,
            "size": 1,
            "sort": ["_doc"],
            "_source": False,
            "track_total_hits": False,
            "aggs": aggregations,
        }
        answer = await search(self._connection, self._index, body)
        return {**answer["aggregations"], GENERATION: generation_of(answer["hits"]["hits"])}

    async def pages(self, grouping: Grouping, first: Any = None) -> AsyncIterator[list[OrderFigures]]:
        """Yields the pages of all groups. `first` is the first page's answer if the caller has it already."""
        async for buckets in self.buckets(grouping, composite(grouping), first):
            yield grouping.figures(buckets)

    async def buckets(self, grouping: Composed, asked: Query, first: Any = None) -> AsyncIterator[list[Any]]:
        """Yields the pages of all buckets of the composite `asked`.

        `first` is the first page's answer if the caller has it already.
        """
        found = first
        while True:
            if found is None:
                answer = await self.ask(grouping.query(), {"wrapped": grouping.wrapped(asked)})
                found = grouping.unwrapped(answer["wrapped"])
            yield found["buckets"]
            if len(found["buckets"]) < grouping.size:
                return
            asked = {**asked, "composite": {**asked["composite"], "after": found["after_key"]}}
            found = None

    async def exact(self, grouping: Grouping, groups: Iterable[OrderFigures]) -> list[OrderFigures]:
        """Recomputes the groups whose sums floating point may have rounded, or whose totals the histogram lacks."""
        exact = list(groups)
        if all(_is_exact(group, grouping.percentiles) for group in exact):
            return exact
        for figure, field in grouping.summed().items():
            inexact = tuple(group for group in exact if _is_inexact(group, figure, grouping.percentiles))
            if inexact:
                found = await self.values(replace(grouping, percentiles=(), only=inexact), field)
                exact = [
                    _with(group, figure, found[group.keys, group.currency_code], grouping.percentiles)
                    if _is_inexact(group, figure, grouping.percentiles)
                    else group
                    for group in exact
                ]
        return exact

    async def values(self, grouping: Grouping, field: str) -> Mapping[tuple[tuple[str, ...], str], Values]:
        """Returns the distinct values of a field and their counts, by keys and currency of each group."""
        found: defaultdict[tuple[tuple[str, ...], str], Values] = defaultdict(Values)
        asked: Query = {"sources": [*grouping.sources(), {"value": {"terms": {"field": field}}}]}
        async for buckets in self.buckets(grouping, {"composite": {"size": grouping.size, **asked}}):
            for bucket in buckets:
                *keys, currency_code, value = bucket["key"].values()
                found[tuple(key or "" for key in keys), currency_code or ""].add(value, bucket["doc_count"])
        return found


class Values:
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


def _is_exact(group: OrderFigures, percentiles: tuple[float, ...]) -> bool:
    """Returns whether no figure of the group has to be computed again: almost always so."""
    return (
        -EXACT_BELOW < group.total < EXACT_BELOW
        and -EXACT_BELOW < group.net_total < EXACT_BELOW
        and -EXACT_BELOW < group.tax_total < EXACT_BELOW
        and -EXACT_BELOW < group.freight < EXACT_BELOW
        and -EXACT_BELOW < group.quantity < EXACT_BELOW
        and len(group.percentiles) == len(percentiles)
    )


def _is_inexact(group: OrderFigures, figure: str, percentiles: tuple[float, ...]) -> bool:
    lacks_percentiles = figure == "total" and len(group.percentiles) < len(percentiles)
    return lacks_percentiles or abs(getattr(group, figure)) >= EXACT_BELOW


def _with(group: OrderFigures, figure: str, values: Values, percentiles: tuple[float, ...]) -> OrderFigures:
    changes: dict[str, Any] = {figure: values.sum}
    if figure == "total" and not group.percentiles:
        changes["percentiles"] = tuple(map(values.percentile, percentiles))
    return replace(group, **changes)
