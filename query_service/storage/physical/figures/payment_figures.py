"""Computes figures of money from the journal entries, in which each movement of money is a nested document.

For a time zone other than UTC the movements of each local period are selected by their times, as in `local_figures`.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from query_service.application.calendars.local_periods import local_periods
from query_service.application.freshness.coalesced_refresh import CoalescedRefresh
from query_service.application.ports.errors import DependencyDown, RebuildNeeded
from query_service.application.ports.payment_questions import (
    PAYMENT_CALENDAR,
    PAYMENT_FIELDS,
    FoundPayments,
    PaymentCriteria,
    PaymentFigures,
    PaymentSummaries,
    found_payments,
)
from query_service.projection.money_moved import MONEY_EVENTS, PAYMENT
from query_service.storage.physical.connection import DEPENDENCY, ElasticsearchConnection
from query_service.storage.physical.criteria import Query
from query_service.storage.physical.figures.grouping import GROUPS_AT_ONCE
from query_service.storage.physical.figures.groups import EXACT_BELOW, GENERATION, GroupReader
from query_service.storage.physical.figures.local_figures import PERIODS_AT_ONCE
from query_service.storage.physical.names import IndexNames

#: The least seconds between two refreshes of the entries, which no other question needs.
_LEAST_PAUSE = 0.2
_EPOCH = date(1970, 1, 1)
_UNTIMED: Query = {"bool": {"must_not": {"exists": {"field": "money.time"}}}}
#: Entries of events that move money, written by a release that did not store what they moved.
_OUTDATED: Query = {
    "bool": {
        "filter": {"terms": {"event_type": list(MONEY_EVENTS)}},
        "must_not": {"exists": {"field": "money_moves"}},
    }
}


@dataclass(frozen=True, slots=True)
class _Part:
    """The movements of one period, or all, grouped by `fields`, currency and kind.

    `keys` are the keys of the period, None where a field gives the key.
    """

    criteria: PaymentCriteria
    fields: tuple[str, ...]
    keys: tuple[str | None, ...]
    within: Query | None = None

    @property
    def size(self) -> int:
        """The number of groups per request."""
        return GROUPS_AT_ONCE

    def query(self) -> Query:
        """Returns the query for the entries that have such movements."""
        return {"nested": {"path": "money", "query": {"bool": {"filter": self._filters()}}}}

    def composite(self, *more: str) -> Query:
        """Returns the aggregation over groups. `more` are further fields to group by."""
        fields = (*self.fields, "currency_code", "kind", *more)
        sources = [
            {str(number): {"terms": {"field": f"money.{field}", "missing_bucket": True}}}
            for number, field in enumerate(fields)
        ]
        sums = {"amount": {"sum": {"field": "money.amount"}}}
        return {"composite": {"size": self.size, "sources": sources}, "aggs": sums}

    def wrapped(self, asked: Query) -> Query:
        """Wraps an aggregation so that it counts these movements only."""
        counted = {"filter": {"bool": {"filter": self._filters()}}, "aggs": {"groups": asked}}
        return {"nested": {"path": "money"}, "aggs": {"counted": counted}}

    def unwrapped(self, answer: Any) -> Any:
        """Returns the aggregation's part of an answer; the inverse of `wrapped`."""
        return answer["counted"]["groups"]

    def figures(self, keys: Sequence[Any], count: int, amount: int) -> PaymentFigures:
        """Returns what one bucket adds to its group. `keys` are those of the fields, the currency and the kind."""
        *others, currency, kind = (key or "" for key in keys)
        of_fields = iter(others)
        whole = tuple(next(of_fields) if key is None else key for key in self.keys)
        if kind == PAYMENT:
            return PaymentFigures(whole, currency, payments=count, paid=amount)
        return PaymentFigures(whole, currency, refunds=count, refunded=amount)

    def _filters(self) -> list[Query]:
        return [*_filters(self.criteria), *([] if self.within is None else [self.within])]


class PaymentReader:
    """Implements PaymentQuestions."""

    def __init__(self, connection: ElasticsearchConnection, names: IndexNames) -> None:
        self._connection, self._names = connection, names
        self._groups = GroupReader(connection, names.entries)
        self._refresh = CoalescedRefresh(self._refreshed, time.monotonic, least_pause=_LEAST_PAUSE)

    async def payments(self, asked: PaymentSummaries) -> FoundPayments:
        """See PaymentQuestions. It refreshes the entries first, as no other question searches them."""
        await self._refresh.catch_up()
        journal = await self._groups.ask({"match_all": {}}, {"outdated": {"filter": _OUTDATED}})
        if journal["outdated"]["doc_count"]:
            raise RebuildNeeded("money_moves")
        parts = [part async for part in self._parts(asked)]
        figures = [each async for each in self._figures(parts)]
        return found_payments(figures, asked.size, journal[GENERATION])

    async def _refreshed(self) -> bool:
        _, answer = await self._connection.request("POST", f"/{self._names.entries}/_refresh")
        if answer["_shards"]["failed"]:
            raise DependencyDown(DEPENDENCY, f"a copy of {self._names.entries} cannot be refreshed")
        return True

    async def _parts(self, asked: PaymentSummaries) -> AsyncIterator[_Part]:
        calendar = [dimension for dimension in asked.dimensions if dimension in PAYMENT_CALENDAR]
        if asked.zone is None or not calendar:
            fields = tuple(PAYMENT_FIELDS[dimension] for dimension in asked.dimensions)
            yield _Part(asked.criteria, fields, (None,) * len(fields))
            return
        whole = _Part(asked.criteria, ("day",), (None,))
        days = [
            bucket["key"]["0"] or ""
            async for buckets in self._groups.buckets(whole, whole.composite())
            for bucket in buckets
        ]
        if "" in days:
            yield _of_period(asked, ("",) * len(calendar), _UNTIMED)
        names = [PAYMENT_CALENDAR[dimension] for dimension in calendar]
        for period in local_periods(
            asked.zone, names, ((date.fromisoformat(day) - _EPOCH).days for day in days if day)
        ):
            times = [{"range": {"money.time": {"gte": start, "lt": end}}} for start, end in period.intervals]
            yield _of_period(asked, period.keys, _any_of(times))

    async def _figures(self, parts: Sequence[_Part]) -> AsyncIterator[PaymentFigures]:
        """Yields what each bucket of each part adds to its group; several parts are read with one request."""
        for start in range(0, len(parts), PERIODS_AT_ONCE):
            together = parts[start : start + PERIODS_AT_ONCE]
            asked = {str(number): part.wrapped(part.composite()) for number, part in enumerate(together)}
            within = None if together[0].within is None else _any_of([part.within for part in together if part.within])
            answer = await self._groups.ask(replace(together[0], within=within).query(), asked)
            for number, part in enumerate(together):
                first = part.unwrapped(answer[str(number)])
                for figures in await self._of_part(part, first):
                    yield figures

    async def _of_part(self, part: _Part, first: Any) -> list[PaymentFigures]:
        """Returns the figures of all pages of a part. `first` is its first page."""
        figures: list[PaymentFigures] = []
        async for buckets in self._groups.buckets(part, part.composite(), first):
            if any(bucket["amount"]["value"] >= EXACT_BELOW for bucket in buckets):
                return [exact async for exact in self._exactly(part)]
            for bucket in buckets:
                amount = int(bucket["amount"]["value"])
                figures.append(part.figures(tuple(bucket["key"].values()), bucket["doc_count"], amount))
        return figures

    async def _exactly(self, part: _Part) -> AsyncIterator[PaymentFigures]:
        async for buckets in self._groups.buckets(part, part.composite("amount")):
            for bucket in buckets:
                *keys, amount = bucket["key"].values()
                yield part.figures(keys, bucket["doc_count"], (amount or 0) * bucket["doc_count"])


def _of_period(asked: PaymentSummaries, period: Sequence[str], within: Query) -> _Part:
    keys: Iterator[str] = iter(period)
    fields = tuple(PAYMENT_FIELDS[dimension] for dimension in asked.dimensions if dimension not in PAYMENT_CALENDAR)
    whole = tuple(next(keys) if dimension in PAYMENT_CALENDAR else None for dimension in asked.dimensions)
    return _Part(asked.criteria, fields, whole, within)


def _any_of(queries: Sequence[Query]) -> Query:
    return queries[0] if len(queries) == 1 else {"bool": {"should": list(queries), "minimum_should_match": 1}}


def _filters(criteria: PaymentCriteria) -> Iterator[Query]:
    yield {"exists": {"field": "money.kind"}}
    for field, values in (("method", criteria.methods), ("source", criteria.sources)):
        if values:
            yield {"terms": {f"money.{field}": list(values)}}
    if criteria.currency_code:
        yield {"term": {"money.currency_code": criteria.currency_code}}
    bounds = {"gte": criteria.moved_from, "lt": criteria.moved_until}
    given = {name: bound for name, bound in bounds.items() if bound is not None}
    if given:
        yield {"range": {"money.time": given}}
