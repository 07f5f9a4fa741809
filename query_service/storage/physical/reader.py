"""Looks up documents by id. A look-up sees every acknowledged write, refreshed or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from query_service.application.ports.generations import FIRST_GENERATION
from query_service.application.ports.read_store import EntryAtTime, Freshness, ShownOrder, StoredOrder
from query_service.projection.external_version import version_parts
from query_service.projection.order_document import EventDocument
from query_service.projection.project import event_document_id
from query_service.storage.physical.connection import ElasticsearchConnection
from query_service.storage.physical.entry_search import version_in_force
from query_service.storage.physical.kept_orders import document_of
from query_service.storage.physical.look_ups import LookUps, complete, multi_get
from query_service.storage.physical.names import IndexNames

AS_OF = "as_of"


def as_of_id(generation: str) -> str:
    """Returns the id of the document that says how fresh a generation is."""
    return AS_OF if generation == FIRST_GENERATION else f"{AS_OF}-{generation}"


class DocumentReader:
    """Implements OrderReader's look-ups with `_mget` requests that concurrent callers share."""

    def __init__(self, connection: ElasticsearchConnection, names: IndexNames) -> None:
        self._connection, self._look_ups, self._names = connection, LookUps(connection), names

    async def orders(self, order_ids: Sequence[str]) -> list[StoredOrder]:
        """See OrderReader."""
        if not order_ids:
            return []
        wanted: list[dict[str, Any]] = []
        for order_id in order_ids:
            wanted.append({"_index": self._names.orders, "_id": order_id})
            wanted.append({"_index": self._names.parked, "_id": order_id, "_source": ["versions"]})
        found = await self._look_ups.documents(wanted)
        return [
            StoredOrder(
                order_id,
                document_of(document["_source"]) if document["found"] else None,
                tuple(parked["_source"]["versions"]) if parked["found"] else (),
                self._names.generation_of(document["_index"]),
            )
            for order_id, document, parked in zip(order_ids, found[::2], found[1::2], strict=True)
        ]

    async def shown(self, order_ids: Sequence[str]) -> list[ShownOrder]:
        """See OrderReader. The document's external version contains the edition, so one field is sent."""
        wanted: list[dict[str, Any]] = [
            {"_index": self._names.orders, "_id": order_id, "_source": ["redacted"]} for order_id in order_ids
        ]
        return [
            ShownOrder(version_parts(document["_version"])[:2], document["_source"]["redacted"])
            if document["found"]
            else ShownOrder()
            for document in (await self._look_ups.documents(wanted) if wanted else [])
        ]

    async def entries(self, order_id: str, versions: Sequence[int]) -> list[EventDocument | None]:
        """See OrderReader."""
        found = await self._entries(order_id, versions)
        return [document["_source"] if document["found"] else None for document in found]

    async def entry_at(self, order_id: str, time: int) -> EntryAtTime:
        """See OrderReader."""

        async def times(versions: Sequence[int]) -> list[int | None]:
            found = await self._entries(order_id, versions, source=["recorded_at"])
            return [document["_source"]["recorded_at"] if document["found"] else None for document in found]

        [stored] = await self.orders([order_id])
        version, missing = await version_in_force(times, stored.version, time)
        if version == 0:
            return EntryAtTime(None, missing, stored.generation)
        [entry] = await self._entries(order_id, [version])
        document = entry["_source"] if entry["found"] else None
        return EntryAtTime(document, missing, self._names.generation_of(entry["_index"]))

    async def freshness_of(self, generations: Sequence[str]) -> list[Freshness | None]:
        """Returns how fresh each generation is; None before its first barrier.

        It shares no request with look-ups, so that it shows the store's state at the call.
        """
        wanted = [{"_index": self._names.state, "_id": as_of_id(generation)} for generation in generations]
        return [
            Freshness(**{name: value for name, value in state["_source"].items() if name != "kind"})
            if state["found"]
            else None
            for state in await get_documents(self._connection, wanted)
        ]

    async def _entries(
        self, order_id: str, versions: Sequence[int], source: list[str] | None = None
    ) -> list[dict[str, Any]]:
        if not versions:
            return []
        only = {} if source is None else {"_source": source}
        wanted = [
            {"_index": self._names.entries, "_id": event_document_id(order_id, version), **only} for version in versions
        ]
        return await self._look_ups.documents(wanted)


async def get_documents(connection: ElasticsearchConnection, wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sends one `_mget` and returns the answers in order. Raises if any document could not be read."""
    return complete(await multi_get(connection, wanted))
