"""Mends the read model: reads external versions and removes documents.

A removal has an external version too. Elasticsearch remembers it for a minute (`index.gc_deletes`), and refuses older
writes meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import orjson

from query_service.application.ports.checked_store import ExternalVersions
from query_service.application.ports.errors import DependencyDown
from query_service.projection.project import event_document_id
from query_service.storage.physical.connection import DEPENDENCY, ElasticsearchConnection
from query_service.storage.physical.lists import search
from query_service.storage.physical.names import IndexNames
from query_service.storage.physical.reader import get_documents

_AT_ONCE = 1_000


class IndexUpkeep:
    """Implements CheckedStore's look-ups and repairs."""

    def __init__(self, connection: ElasticsearchConnection, names: IndexNames) -> None:
        self._connection, self._names = connection, names

    async def external_versions(self, order_id: str, versions: Sequence[int]) -> ExternalVersions:
        """See CheckedStore."""
        wanted = [{"_index": self._names.orders, "_id": order_id, "_source": False}]
        wanted += [
            {"_index": self._names.entries, "_id": event_document_id(order_id, version), "_source": False}
            for version in versions
        ]
        order, *entries = await get_documents(self._connection, wanted)
        return ExternalVersions(
            order["_version"] if order["found"] else 0,
            {version: found["_version"] for version, found in zip(versions, entries, strict=True) if found["found"]},
        )

    async def remove(self, order_id: str, *, above: int = 0) -> None:
        """See CheckedStore."""
        await self._connection.request("POST", f"/{self._names.entries}/_refresh")
        body: dict[str, Any] = {
            "query": {"bool": {"filter": [{"term": {"order_id": order_id}}, {"range": {"version": {"gt": above}}}]}},
            "sort": [{"version": "asc"}],
            "size": _AT_ONCE,
            "version": True,
            "_source": False,
        }
        while True:
            hits = (await search(self._connection, self._names.entries, body))["hits"]["hits"]
            await self._delete([(self._names.entries, hit["_id"], hit["_version"]) for hit in hits])
            if len(hits) < _AT_ONCE:
                break
            body["search_after"] = hits[-1]["sort"]
        if above:
            return
        stored = await self.external_versions(order_id, [])
        if stored.order:
            await self._delete([(self._names.orders, order_id, stored.order)])
        path = f"/{self._names.parked}/_doc/{quote(order_id, safe='')}"
        await self._connection.request("DELETE", path, accept=(404,))

    async def _delete(self, stored: Sequence[tuple[str, str, int]]) -> None:
        """Deletes documents, each (index, id, external version), unless a newer version is stored by now."""
        if not stored:
            return
        lines = b"".join(
            orjson.dumps({"delete": {"_index": index, "_id": key, "version": version + 1, "version_type": "external"}})
            + b"\n"
            for index, key, version in stored
        )
        _, answer = await self._connection.request("POST", "/_bulk", params={"require_alias": "true"}, lines=lines)
        failed = [item["delete"] for item in answer["items"] if item["delete"]["status"] not in (200, 404, 409)]
        if failed:
            raise DependencyDown(DEPENDENCY, f"{failed[0]['_id']} cannot be deleted: {failed[0].get('error')}")
