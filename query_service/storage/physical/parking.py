"""Records parked events: one document per order, which is looked up together with the order.

It does not copy the messages, because they contain personal data. Stream and outbox have them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from query_service.application.ports.errors import DependencyDown
from query_service.application.ports.read_store import ParkedEvent
from query_service.projection.errors import Unprojectable
from query_service.storage.physical.connection import DEPENDENCY, ElasticsearchConnection
from query_service.storage.physical.lists import search
from query_service.storage.physical.names import IndexNames
from query_service.storage.physical.reader import get_documents

_ATTEMPTS, _AT_ONCE = 20, 500
#: In place of a reason: the relay has taken the record back.
_TAKEN_BACK = "TAKEN_BACK"
Events = list[dict[str, Any]]


class ParkingLot:
    """Changes an order's parked events: reads the document, and writes it back if no other process wrote in between.

    On a conflict it tries again. Conflicts are rare, because parking is.
    """

    def __init__(self, connection: ElasticsearchConnection, names: IndexNames) -> None:
        self._connection, self._names = connection, names

    async def park(self, event: ParkedEvent) -> None:
        """See ProjectionWriter."""
        await self._record({**asdict(event), "reason": str(event.reason)}, _document_id(event))

    async def take_back(self, event: ParkedEvent) -> None:
        """See ProjectionWriter. A record stays that says so, and no earlier message replaces it."""
        await self._record({**asdict(event), "reason": _TAKEN_BACK}, _document_id(event))

    async def unpark(self, event: ParkedEvent) -> None:
        """See ProjectionWriter."""
        await self._change(_document_id(event), lambda events: [one for one in events if _key(one)[0] != event.version])

    async def parked(self, order_id: str) -> list[ParkedEvent]:
        """See ProjectionWriter."""
        events, _ = await self._read(order_id)
        return [_parked_event(event) for event in _parked(events)]

    async def all(self) -> list[ParkedEvent]:
        """See ProjectionWriter. It pages in the sequence of writes, so a document that changes is read again."""
        await self._refresh()
        found: dict[str, Events] = {}
        body: dict[str, Any] = {
            "query": {"exists": {"field": "parked_at"}},
            "sort": [{"_seq_no": "asc"}],
            "size": _AT_ONCE,
        }
        while True:
            hits = (await search(self._connection, self._names.parked, body))["hits"]["hits"]
            found.update({hit["_id"]: hit["_source"]["events"] for hit in hits})
            if len(hits) < _AT_ONCE:
                return [_parked_event(event) for events in found.values() for event in _parked(events)]
            body["search_after"] = hits[-1]["sort"]

    async def _record(self, entry: dict[str, Any], document_id: str) -> None:
        def added(events: Events) -> Events:
            there = next((other for other in events if _key(other) == _key(entry)), entry)
            if _place(there) > _place(entry):
                return events
            return sorted([*(other for other in events if _key(other) != _key(entry)), entry], key=_key)

        await self._change(document_id, added)

    async def _read(self, document_id: str) -> tuple[Events, dict[str, Any]]:
        """Returns the parked events, and parameters that make a write fail if another one came first."""
        [found] = await get_documents(self._connection, [{"_index": self._names.parked, "_id": document_id}])
        if not found["found"]:
            return [], {"op_type": "create"}
        guard = {"if_seq_no": found["_seq_no"], "if_primary_term": found["_primary_term"]}
        return found["_source"]["events"], guard

    async def _refresh(self) -> None:
        await self._connection.request("POST", f"/{self._names.parked}/_refresh")

    async def _change(self, document_id: str, change: Callable[[Events], Events]) -> None:
        for _ in range(_ATTEMPTS):
            before, guard = await self._read(document_id)
            after = change(before)
            if after == before:
                # The write that made it so may have had no answer, and no search may see it yet.
                await self._refresh()
                return
            document = {
                "order_id": after[0]["order_id"] if after else None,
                "versions": [event["version"] for event in _parked(after) if event["order_id"] is not None],
                "parked_at": max((event["parked_at"] for event in _parked(after)), default=None),
                "events": after,
            }
            status, _ = await self._connection.request(
                "PUT",
                f"/{self._names.parked}/_doc/{quote(document_id, safe='')}",
                # A list's token owes what is parked, so a search must find it before freshness counts it as done.
                params={"require_alias": "true", "refresh": "true", **guard},
                body=document,
                accept=(409,),
            )
            if status != 409:
                return
        raise DependencyDown(DEPENDENCY, f"the parked events of {document_id} changed {_ATTEMPTS} times while written")


def _parked_event(event: dict[str, Any]) -> ParkedEvent:
    return ParkedEvent(**{**event, "reason": Unprojectable(event["reason"])})


def _document_id(event: ParkedEvent) -> str:
    # Sequences begin at 1 again in a new stream, so the time distinguishes its messages from those of the old one.
    return event.order_id or f"{event.stream}/{event.sequence}/{event.stored_at}"


def _parked(events: Events) -> Events:
    return [event for event in events if event["reason"] != _TAKEN_BACK]


def _place(event: dict[str, Any]) -> tuple[int, int]:
    return event["stored_at"], event["sequence"]


def _key(event: dict[str, Any]) -> tuple[int, int]:
    # An order has one entry per version. A message that names no order has a document of its own.
    return event["version"], 0
