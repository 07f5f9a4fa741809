"""Searches for orders. A search sees what the last refresh made searchable, and fails if a shard does not answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from query_service.application.ports.errors import DependencyDown, PageTokenMalformed
from query_service.application.ports.order_questions import (
    NOT_LISTED,
    SORT_KEYS,
    Edition,
    FoundOrder,
    FoundOrders,
    OrderSearch,
    OrderSort,
    Position,
)
from query_service.application.questions.encoded_orders import encoded_orders
from query_service.projection.currency import FINEST_PARTS
from query_service.projection.external_version import order_version
from query_service.storage.physical.connection import DEPENDENCY, ElasticsearchConnection
from query_service.storage.physical.criteria import query, scored
from query_service.storage.physical.facets import counts, facets, label_values
from query_service.storage.physical.hits import FoundPage, Hit, read_page
from query_service.storage.physical.kept_orders import encoded_order
from query_service.storage.physical.names import IndexNames
from query_service.storage.physical.reader import DocumentReader

_PARKED_AT_ONCE = 500


class OrderLists:
    """Implements OrderQuestions, except for the figures."""

    def __init__(self, connection: ElasticsearchConnection, names: IndexNames, reader: DocumentReader) -> None:
        self._connection, self._names, self._reader = connection, names, reader

    async def search(self, asked: OrderSearch) -> FoundOrders:
        """See OrderQuestions."""
        body: dict[str, Any] = {
            "query": scored(asked.criteria) if asked.criteria.lookup_key else query(asked.criteria),
            "sort": [{"_score": "desc"}, *sorting(asked.sort)] if asked.criteria.lookup_key else sorting(asked.sort),
            "size": asked.size,
            "track_total_hits": True,
            "version": True,
            "aggs": facets(asked),
        }
        if asked.after is not None:
            body["search_after"] = _sort_values(asked.after, asked)
        if asked.since:
            body["seq_no_primary_term"] = True
        answer: FoundPage = await search(self._connection, self._names.orders, body, read_page)
        hits, found = answer.hits.hits, answer.aggregations
        return FoundOrders(
            self._found(hits, await self._encoded(hits, basic=asked.basic), asked),
            answer.hits.total.value,
            {dimension: counts(found, dimension.value) for dimension in asked.facets},
            generation=self._names.generation_of(hits[0].index) if hits else "",
            label_values=label_values(found, asked),
        )

    async def mark(self) -> str:
        """See OrderQuestions. The mark is the global checkpoint: every copy of the index has all writes up to it."""
        _, answer = await self._connection.request(
            "GET",
            f"/{self._names.orders}/_stats/docs",
            params={"level": "shards", "filter_path": "indices.*.shards.*.seq_no,indices.*.shards.*.routing.primary"},
        )
        primaries = [
            (index, copy["seq_no"]["global_checkpoint"])
            for index, found in answer.get("indices", {}).items()
            for copies in found["shards"].values()
            for copy in copies
            if copy["routing"]["primary"]
        ]
        if len(primaries) != 1:
            raise DependencyDown(DEPENDENCY, f"{self._names.orders} has {len(primaries)} active primary shards, not 1")
        index, checkpoint = primaries[0]
        return f"{self._names.generation_of(index)}:{checkpoint}"

    def first_mark(self, mark: str) -> str:
        """See OrderQuestions."""
        return f"{self.marked(mark)}:-1"

    def marked(self, mark: str) -> str:
        """See OrderQuestions."""
        return mark.rpartition(":")[0]

    async def listed(self, order_ids: Sequence[str]) -> list[Edition]:
        """See OrderQuestions."""
        body = {
            "query": {"ids": {"values": list(order_ids)}},
            "size": len(order_ids),
            "_source": ["version", "source_epoch"],
            "track_total_hits": False,
        }
        hits = (await search(self._connection, self._names.orders, body))["hits"]["hits"]
        found = {hit["_id"]: (hit["_source"]["source_epoch"], hit["_source"]["version"]) for hit in hits}
        return [found.get(order_id, NOT_LISTED) for order_id in order_ids]

    async def refresh(self) -> None:
        """See ProjectionWriter."""
        _, answer = await self._connection.request("POST", f"/{self._names.orders}/_refresh")
        if answer["_shards"]["failed"]:
            raise DependencyDown(DEPENDENCY, f"a copy of {self._names.orders} cannot be refreshed")

    async def parked_orders(self) -> Mapping[str, Sequence[int]]:
        """See OrderQuestions. The index of parked events also has healed orders, so each order's version is checked."""
        parked: dict[str, Sequence[int]] = {}
        body: dict[str, Any] = {
            "query": {"exists": {"field": "versions"}},
            "sort": [{"order_id": "asc"}],
            "size": _PARKED_AT_ONCE,
            "_source": False,
        }
        while True:
            hits = (await search(self._connection, self._names.parked, body))["hits"]["hits"]
            for order in await self._reader.orders([hit["_id"] for hit in hits]):
                if order.lacks_parked_version:
                    parked[order.order_id] = order.parked_versions
            if len(hits) < _PARKED_AT_ONCE:
                return parked
            body["search_after"] = hits[-1]["sort"]

    async def _encoded(self, hits: Sequence[Hit], *, basic: bool) -> Sequence[bytes]:
        """Returns the encoded orders of hits. Those that another release encoded are projected again."""
        kept = [encoded_order(hit.kept.basic_order if basic else hit.kept.order) for hit in hits]
        encoded = [one for one in kept if one is not None]
        if len(encoded) == len(hits):
            return encoded
        view = "basic_order" if basic else "order"
        documents: list[Any] = [
            {"order_id": hit.order_id, "version": order_version(hit.external_version), "hash": hit.kept.hash}
            | ({} if one is None else {view: one})
            for hit, one in zip(hits, kept, strict=True)
        ]
        return await encoded_orders(documents, self._reader.entries, basic=basic)

    def _found(self, hits: Sequence[Hit], encoded: Sequence[bytes], asked: OrderSearch) -> list[FoundOrder]:
        position = _position_reader(asked)
        since = asked.since
        return [
            FoundOrder(
                hit.order_id,
                order_version(hit.external_version),
                order,
                position(hit.sort),
                bool(since) and self._changed(hit, since),
            )
            for hit, order in zip(hits, encoded, strict=True)
        ]

    def _changed(self, hit: Hit, since: str) -> bool:
        generation, _, checkpoint = since.rpartition(":")
        if generation != self._names.generation_of(hit.index) or not checkpoint.removeprefix("-").isdecimal():
            raise PageTokenMalformed("the read model was rebuilt since the page token was issued; begin again")
        return hit.seq_no > int(checkpoint)


def generation_of(hits: Sequence[Mapping[str, Any]]) -> str:
    """Returns the generation that answered a search; "" when there is no hit to tell it."""
    return IndexNames.generation_of(hits[0]["_index"]) if hits else ""


def sorting(sort: OrderSort) -> list[dict[str, Any]]:
    """Returns Elasticsearch's `sort`: by key, orders without a value last, then by id."""
    key = SORT_KEYS[sort]
    direction = "desc" if key.descending else "asc"
    fields = (
        {
            "total_units": {"order": direction, "missing": "_last"},
            "total_parts": {"order": direction, "missing": 0},
        }
        if key.is_total
        else {key.field: {"order": direction, "missing": "_last"}}
    )
    return [*({field: how} for field, how in fields.items()), {"order_id": {"order": "asc"}}]


def _sort_values(place: Position, asked: OrderSearch) -> list[Any]:
    """Returns the values by which Elasticsearch sorts an order at this position; the inverse of `_position_reader`."""
    exact = [float(place.exact)] if asked.criteria.lookup_key else []
    keys = (
        divmod(place.key, FINEST_PARTS)
        if isinstance(place.key, int) and SORT_KEYS[asked.sort].is_total
        else [place.key]
    )
    return [*exact, *keys, place.order_id]


def _position_reader(asked: OrderSearch) -> Callable[[list[Any]], Position]:
    """Returns what reads an order's position from the values by which Elasticsearch sorted it."""
    with_exact, is_total = bool(asked.criteria.lookup_key), SORT_KEYS[asked.sort].is_total
    if not with_exact and not is_total:
        return lambda values: Position(values[0], values[1])

    def read(values: list[Any]) -> Position:
        *keys, order_id = values
        exact = bool(keys.pop(0)) if with_exact else False
        return Position(keys[0] * FINEST_PARTS + keys[1] if is_total else keys[0], order_id, exact)

    return read


async def search(
    connection: ElasticsearchConnection,
    index: str,
    body: dict[str, Any],
    decode: Callable[[bytes], Any] = orjson.loads,
) -> Any:
    """Sends a search over the whole index, and returns the answer. Raises DependencyDown if a shard does not answer.

    The copies of an index refresh at different times. A process keeps to one copy as long as it answers, so an order
    that a search has shown does not disappear from the next one.
    """
    params = {"allow_partial_search_results": "false", "preference": connection.affinity}
    _, answer = await connection.request("POST", f"/{index}/_search", params=params, body=body, decode=decode)
    return answer
