"""Reads the whole index of orders in the sequence of their ids, all of one moment."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from query_service.application.ports.checked_store import ScannedOrder
from query_service.application.ports.errors import DependencyDown
from query_service.storage.physical.connection import ElasticsearchConnection, StoreDefect
from query_service.storage.physical.kept_orders import document_of
from query_service.storage.physical.names import IndexNames

#: Orders of a page: without documents, and with them.
PAGE_ORDERS, PAGE_DOCUMENTS = 2_000, 200
#: How long the server keeps the moment between two pages. A check that sleeps to save time asks rarely.
KEEP_ALIVE = "15m"


class IndexScan:
    """Implements CheckedStore.scan with a point in time."""

    def __init__(self, connection: ElasticsearchConnection, names: IndexNames) -> None:
        self._connection, self._names = connection, names

    async def scan(
        self, *, after: str = "", until: str = "", documents: bool = False
    ) -> AsyncGenerator[Sequence[ScannedOrder], None]:
        """See CheckedStore."""
        size = PAGE_DOCUMENTS if documents else PAGE_ORDERS
        moment = await self._open()
        try:
            body: dict[str, Any] = {
                "query": _between(after, until),
                "sort": [{"order_id": "asc"}],
                "size": size,
                "version": True,
                "track_total_hits": False,
                "_source": True if documents else ["version", "hash"],
            }
            while True:
                _, answer = await self._connection.request(
                    "POST",
                    "/_search",
                    params={"allow_partial_search_results": "false"},
                    body={**body, "pit": {"id": moment, "keep_alive": KEEP_ALIVE}},
                )
                hits, moment = answer["hits"]["hits"], answer["pit_id"]
                if hits:
                    yield [_scanned(hit, documents) for hit in hits]
                if len(hits) < size:
                    return
                body["search_after"] = hits[-1]["sort"]
        finally:
            with contextlib.suppress(DependencyDown, StoreDefect):  # it expires by itself
                await self._connection.request("DELETE", "/_pit", body={"id": moment}, accept=(404,))

    async def _open(self) -> str:
        _, answer = await self._connection.request(
            "POST", f"/{self._names.orders}/_pit", params={"keep_alive": KEEP_ALIVE}
        )
        return str(answer["id"])


def _between(after: str, until: str) -> dict[str, Any]:
    bounds = {name: bound for name, bound in (("gt", after), ("lte", until)) if bound}
    return {"range": {"order_id": bounds}} if bounds else {"match_all": {}}


def _scanned(hit: dict[str, Any], documents: bool) -> ScannedOrder:
    # A document that was altered by hand may lack any field.
    source = hit.get("_source") or {}
    version, digest = source.get("version"), source.get("hash")
    return ScannedOrder(
        hit["_id"],
        version if isinstance(version, int) else 0,
        digest if isinstance(digest, str) else "",
        hit["_version"],
        document_of(source) if documents else None,
    )
