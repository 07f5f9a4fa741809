"""Computes figures of orders, by group and by customer."""

from __future__ import annotations

import heapq
from dataclasses import replace
from typing import Any

from query_service.application.ports.errors import RebuildNeeded
from query_service.application.ports.order_questions import (
    CALENDAR,
    CANCELLED_STATES,
    CUSTOMER_MONEY,
    CustomerFigures,
    CustomerMoney,
    FoundFigures,
    OrderCriteria,
    OrderFigures,
    OrderSort,
    OrderSummaries,
    rank,
)
from query_service.storage.physical.connection import ElasticsearchConnection
from query_service.storage.physical.criteria import Query, query
from query_service.storage.physical.figures.grouping import CURRENCIES_AT_ONCE, Grouping, composite
from query_service.storage.physical.figures.groups import EXACT_BELOW, GENERATION, GroupReader
from query_service.storage.physical.figures.local_figures import LocalFigures
from query_service.storage.physical.kept_orders import document_of
from query_service.storage.physical.lists import generation_of, search, sorting
from query_service.storage.physical.names import IndexNames

#: Orders with returns that an earlier release wrote, without what these are worth.
_UNVALUED_RETURNS: Query = {
    "bool": {
        "filter": {"terms": {"fulfillment_state": ["PARTIALLY_RETURNED", "RETURNED"]}},
        "must_not": {"exists": {"field": "returned_total"}},
    }
}


class FigureReader:
    """Implements the figures of OrderQuestions."""

    def __init__(self, connection: ElasticsearchConnection, names: IndexNames) -> None:
        self._connection, self._names = connection, names
        self._groups = GroupReader(connection, names.orders)
        self._local = LocalFigures(self._groups)

    async def summarize(self, asked: OrderSummaries) -> FoundFigures:
        """See OrderQuestions. Totals and the first page of groups are from one moment, later pages are not."""
        if asked.zone is not None and not CALENDAR.isdisjoint(asked.dimensions):
            return await self._local.summarize(asked, asked.zone)
        all_groups = Grouping(asked.criteria, asked.dimensions, asked.by_line)
        overall = replace(all_groups, dimensions=(), percentiles=asked.percentiles)
        wrapped = {"groups": all_groups.wrapped(composite(all_groups)), "totals": overall.wrapped(composite(overall))}
        found = await self._groups.ask(all_groups.query(), wrapped)
        totals = overall.figures(overall.unwrapped(found["totals"])["buckets"])
        largest: list[OrderFigures] = []
        count = 0
        async for page in self._groups.pages(all_groups, all_groups.unwrapped(found["groups"])):
            count += len(page)
            # Make the sums exact before comparing them, because two sums may round to the same number.
            largest = heapq.nsmallest(asked.size, [*largest, *await self._groups.exact(all_groups, page)], key=rank)
        if asked.percentiles and largest:
            chosen = {(group.keys, group.currency_code) for group in largest}
            detailed = replace(all_groups, percentiles=asked.percentiles, only=tuple(largest))
            pages = self._groups.pages(detailed)
            chosen_anew = [g async for page in pages for g in page if (g.keys, g.currency_code) in chosen]
            largest = sorted(await self._groups.exact(detailed, chosen_anew), key=rank)
        return FoundFigures(
            largest,
            sorted(await self._groups.exact(overall, totals), key=lambda total: total.currency_code),
            truncated=count > asked.size,
            generation=found[GENERATION],
        )

    async def customer(self, customer_id: str, *, recent: int) -> CustomerFigures:
        """See OrderQuestions."""
        theirs = OrderCriteria(customer_ids=(customer_id,))
        kept = Grouping(replace(theirs, excluded_states=CANCELLED_STATES), (), by_line=False)
        everything = Grouping(theirs, (), by_line=False)
        body = {
            "query": query(theirs),
            "sort": sorting(OrderSort.PLACE_TIME_DESC),
            "size": recent,
            "track_total_hits": True,
            "aggs": {
                "first": {"min": {"field": "place_time"}},
                "last": {"max": {"field": "place_time"}},
                "money": {
                    "composite": {"size": CURRENCIES_AT_ONCE, "sources": everything.sources()},
                    "aggs": {figure: {"sum": {"field": field}} for figure, field in CUSTOMER_MONEY.items()},
                },
                "unvalued": {"filter": _UNVALUED_RETURNS},
                "kept": {
                    "filter": query(kept.criteria),
                    "aggs": {"all": kept.wrapped(composite(kept))},
                },
            },
        }
        answer = await search(self._connection, self._names.orders, body)
        found = answer["aggregations"]
        if found["unvalued"]["doc_count"]:
            raise RebuildNeeded("returned_total")
        totals = kept.figures(kept.unwrapped(found["kept"]["all"])["buckets"])
        orders = answer["hits"]["total"]["value"]
        return CustomerFigures(
            orders=orders,
            cancelled_orders=orders - found["kept"]["doc_count"],
            totals=sorted(await self._groups.exact(kept, totals), key=lambda total: total.currency_code),
            first_place_time=_time(found["first"]),
            last_place_time=_time(found["last"]),
            recent=[document_of(hit["_source"]) for hit in answer["hits"]["hits"]],
            money=[await self._money(everything, bucket) for bucket in found["money"]["buckets"]],
            generation=generation_of(answer["hits"]["hits"]),
        )

    async def _money(self, orders: Grouping, bucket: Any) -> CustomerMoney:
        """Returns the money of one currency. Sums that floating point may have rounded are computed again."""
        (currency,) = (value or "" for value in bucket["key"].values())
        sums = {figure: int(bucket[figure]["value"]) for figure in CUSTOMER_MONEY}
        for figure, field in CUSTOMER_MONEY.items():
            if sums[figure] >= EXACT_BELOW:
                sums[figure] = (await self._groups.values(orders, field))[(), currency].sum
        return CustomerMoney(currency, **sums)


def _time(found: Any) -> int | None:
    return None if found["value"] is None else int(found["value"])
