"""Checks and mends the read model in memory. See CheckedStore."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import TypeVar

from query_service.application.ports.checked_store import (
    DriftRecord,
    ExternalVersions,
    ScannedOrder,
    StoredDriftRecord,
    SwappedIndex,
)
from query_service.application.ports.read_store import Applied, Outcome, ParkedEvent, Refused
from query_service.projection.errors import Unprojectable
from query_service.projection.order_document import EventDocument, OrderDocument
from query_service.projection.project import ProjectedEvent, event_document_id

Document = TypeVar("Document", OrderDocument, EventDocument)


class MemoryDocuments:
    """The documents of MemoryStore, each with its external version, and the versions of removed ones."""

    def __init__(self) -> None:
        self._orders: dict[str, tuple[int, OrderDocument]] = {}
        self._entries: dict[str, tuple[int, EventDocument]] = {}
        self._parked: defaultdict[str | None, dict[tuple[int, int], ParkedEvent]] = defaultdict(dict)
        self._removed: dict[str, int] = {}
        self._drift_record = DriftRecord()

    def _put(self, table: dict[str, tuple[int, Document]], key: str, external_version: int, document: Document) -> str:
        """Keeps the newer document. Returns the stored event's id when another event has the same external version."""
        stored = table.get(key)
        if external_version <= self._removed.get(key, 0):
            return ""
        if stored is None or external_version > stored[0]:
            table[key] = external_version, deepcopy(document)
        elif external_version == stored[0] and document["event_id"] != stored[1]["event_id"]:
            return stored[1]["event_id"]
        return ""

    def _put_entry(self, event: ProjectedEvent) -> str:
        key = event_document_id(event.order_id, event.version)
        contradicted_by = self._put(self._entries, key, event.external_version, event.event)
        order = self._orders.get(event.order_id)
        if order is not None and order[1]["redacted"] and not event.order["redacted"]:
            self._erase(event.order_id, event.version)
        if event.event["event_type"] == "ORDER_REDACTED":
            for version in range(1, event.version):
                self._erase(event.order_id, version)
        return contradicted_by

    def _erase(self, order_id: str, version: int) -> None:
        """Takes personal data and salt out of an entry, with the next revision."""
        key = event_document_id(order_id, version)
        stored = self._entries.get(key)
        if stored is not None and (stored[1]["personal"] is not None or stored[1]["salt"] is not None):
            entry = deepcopy(stored[1])
            entry["personal"] = entry["salt"] = None
            entry["revision"] += 1
            self._entries[key] = stored[0] + 1, entry

    async def apply_entries(self, events: Sequence[ProjectedEvent]) -> list[Outcome]:
        """See CheckedStore."""
        return [outcome_of([self._put_entry(event)]) for event in events]

    async def scan(
        self, *, after: str = "", until: str = "", documents: bool = False
    ) -> AsyncGenerator[Sequence[ScannedOrder], None]:
        """See CheckedStore."""
        found = [
            ScannedOrder(order_id, document["version"], document["hash"], external_version, deepcopy(document))
            for order_id, (external_version, document) in sorted(self._orders.items())
            if order_id > after and (not until or order_id <= until)
        ]
        if found:
            yield found if documents else [replace(order, document=None) for order in found]

    async def has_own_content(self) -> bool:
        """See OrderReader. No release takes over what another one kept in memory."""
        return True

    async def external_versions(self, order_id: str, versions: Sequence[int]) -> ExternalVersions:
        """See CheckedStore."""
        order = self._orders.get(order_id)
        entries = {version: self._entries.get(event_document_id(order_id, version)) for version in versions}
        return ExternalVersions(
            order[0] if order else 0, {version: stored[0] for version, stored in entries.items() if stored}
        )

    async def remove(self, order_id: str, *, above: int = 0) -> None:
        """See CheckedStore."""
        for key, (external_version, entry) in list(self._entries.items()):
            if entry["order_id"] == order_id and entry["version"] > above:
                self._removed[key] = external_version + 1
                del self._entries[key]
        if not above:
            self._parked.pop(order_id, None)
            if (stored := self._orders.pop(order_id, None)) is not None:
                self._removed[order_id] = stored[0] + 1

    async def swapped_indices(self) -> list[SwappedIndex]:
        """See CheckedStore. There is nothing to swap."""
        return []

    async def swap_back(self, swapped: SwappedIndex) -> None:
        """See CheckedStore."""
        raise AssertionError(f"{swapped.alias} cannot be swapped in memory")

    async def drift_record(self) -> StoredDriftRecord:
        """See CheckedStore."""
        return StoredDriftRecord(self._drift_record, self._drift_record)

    async def save_drift_record(self, record: DriftRecord, stored: StoredDriftRecord) -> bool:
        """See CheckedStore."""
        if stored.guard is not self._drift_record:
            return False
        self._drift_record = record
        return True


def outcome_of(contradicted_by: Sequence[str]) -> Outcome:
    """Returns the outcome of writes. Each text is the id of another event that has the same version, or ""."""
    for other in filter(None, contradicted_by):
        return Refused(Unprojectable.CONFLICTING, f"event {other} already has this version of the order")
    return Applied()
