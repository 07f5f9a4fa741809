"""Computes figures by local day, week or month.

Documents have the calendar keys of UTC only. For another time zone the orders of each local period are selected by
their times, and are grouped by the other dimensions. One request has many periods, so a year of days takes eight.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from query_service.application.calendars.local_periods import local_periods
from query_service.application.calendars.time_zone import TimeZone
from query_service.application.ports.order_questions import (
    CALENDAR,
    DIMENSION_FIELDS,
    Dimension,
    FoundFigures,
    OrderFigures,
    OrderSummaries,
    rank,
)
from query_service.storage.physical.criteria import Query
from query_service.storage.physical.figures.grouping import GROUPS_AT_ONCE, Grouping, composite
from query_service.storage.physical.figures.groups import GENERATION, GroupReader

#: Periods per request. With percentiles, Elasticsearch keeps a histogram for each group of each of them.
PERIODS_AT_ONCE, PERIODS_WITH_PERCENTILES_AT_ONCE = 50, 10
_EPOCH = date(1970, 1, 1)
_WITHOUT_TIME: Query = {"bool": {"must_not": {"exists": {"field": "place_time"}}}}
_DAYS: Query = {
    "composite": {
        "size": GROUPS_AT_ONCE,
        "sources": [{"day": {"terms": {"field": "place_day", "missing_bucket": True}}}],
    }
}


@dataclass(frozen=True, slots=True)
class _Part:
    """The groups of one local period. `keys` are those of the calendar, the grouping gives the others."""

    keys: tuple[str, ...]
    grouping: Grouping


class LocalFigures:
    """Answers OrderQuestions.summarize for a time zone."""

    def __init__(self, groups: GroupReader) -> None:
        self._groups = groups

    async def summarize(self, asked: OrderSummaries, zone: TimeZone) -> FoundFigures:
        """Returns the figures. Totals are from one moment, the groups of different periods are not."""
        overall = Grouping(asked.criteria, (), asked.by_line, asked.percentiles)
        aggregations = {"totals": overall.wrapped(composite(overall)), "days": _DAYS}
        answer = await self._groups.ask(overall.query(), aggregations)
        totals = overall.figures(overall.unwrapped(answer["totals"])["buckets"])
        days = [day async for day in self._days(overall, answer["days"])]
        parts = {part.keys: part for part in _parts(asked, zone, days)}
        largest: list[OrderFigures] = []
        count = 0
        async for part, page in self._figures(list(parts.values()), PERIODS_AT_ONCE):
            count += len(page)
            whole = [replace(group, keys=_joined(asked.dimensions, part.keys, group.keys)) for group in page]
            largest = heapq.nsmallest(asked.size, [*largest, *whole], key=rank)
        if asked.percentiles:
            largest = sorted([group async for group in self._with_percentiles(asked, parts, largest)], key=rank)
        exact_totals = await self._groups.exact(overall, totals)
        return FoundFigures(
            largest,
            sorted(exact_totals, key=lambda total: total.currency_code),
            truncated=count > asked.size,
            generation=answer[GENERATION],
        )

    async def _days(self, overall: Grouping, found: Any) -> AsyncIterator[str]:
        """Yields the days of UTC that have orders, and "" if there are orders without a time."""
        while True:
            for bucket in found["buckets"]:
                yield bucket["key"]["day"] or ""
            if len(found["buckets"]) < GROUPS_AT_ONCE:
                return
            following = {"composite": {**_DAYS["composite"], "after": found["after_key"]}}
            found = (await self._groups.ask(overall.query(), {"days": following}))["days"]

    async def _figures(self, parts: Sequence[_Part], at_once: int) -> AsyncIterator[tuple[_Part, list[OrderFigures]]]:
        """Yields the exact figures of all groups of each part, page by page."""
        for start in range(0, len(parts), at_once):
            together = parts[start : start + at_once]
            within = {"bool": {"should": [part.grouping.within for part in together], "minimum_should_match": 1}}
            aggregations = {
                str(number): {
                    "filter": part.grouping.within,
                    "aggs": {"part": part.grouping.wrapped(composite(part.grouping))},
                }
                for number, part in enumerate(together)
            }
            answer = await self._groups.ask(replace(together[0].grouping, within=within).query(), aggregations)
            for number, part in enumerate(together):
                first = part.grouping.unwrapped(answer[str(number)]["part"])
                async for page in self._groups.pages(part.grouping, first):
                    yield part, await self._groups.exact(part.grouping, page)

    async def _with_percentiles(
        self, asked: OrderSummaries, parts: dict[tuple[str, ...], _Part], largest: Sequence[OrderFigures]
    ) -> AsyncIterator[OrderFigures]:
        chosen: defaultdict[tuple[str, ...], list[OrderFigures]] = defaultdict(list)
        for group in largest:
            calendar, others = _split(asked.dimensions, group.keys)
            chosen[calendar].append(replace(group, keys=others))
        detailed = [
            replace(
                parts[keys], grouping=replace(parts[keys].grouping, percentiles=asked.percentiles, only=tuple(groups))
            )
            for keys, groups in chosen.items()
        ]
        async for part, page in self._figures(detailed, PERIODS_WITH_PERCENTILES_AT_ONCE):
            wanted = {(group.keys, group.currency_code) for group in chosen[part.keys]}
            for group in page:
                if (group.keys, group.currency_code) in wanted:
                    yield replace(group, keys=_joined(asked.dimensions, part.keys, group.keys))


def _parts(asked: OrderSummaries, zone: TimeZone, days: Sequence[str]) -> Iterator[_Part]:
    fields = [DIMENSION_FIELDS[dimension] for dimension in asked.dimensions if dimension in CALENDAR]
    others = tuple(dimension for dimension in asked.dimensions if dimension not in CALENDAR)
    grouping = Grouping(asked.criteria, others, asked.by_line)
    if "" in days:
        yield _Part(("",) * len(fields), replace(grouping, within=_WITHOUT_TIME))
    numbers = ((date.fromisoformat(day) - _EPOCH).days for day in days if day)
    for period in local_periods(zone, fields, numbers):
        times = [{"range": {"place_time": {"gte": start, "lt": end}}} for start, end in period.intervals]
        within = times[0] if len(times) == 1 else {"bool": {"should": times, "minimum_should_match": 1}}
        yield _Part(period.keys, replace(grouping, within=within))


def _joined(dimensions: Sequence[Dimension], calendar: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    """Returns a group's keys in the order of the dimensions."""
    of_calendar, of_others = iter(calendar), iter(others)
    return tuple(next(of_calendar if dimension in CALENDAR else of_others) for dimension in dimensions)


def _split(dimensions: Sequence[Dimension], keys: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the keys of the calendar and the other keys; the inverse of `_joined`."""
    pairs = list(zip(dimensions, keys, strict=True))
    return (
        tuple(key for dimension, key in pairs if dimension in CALENDAR),
        tuple(key for dimension, key in pairs if dimension not in CALENDAR),
    )
