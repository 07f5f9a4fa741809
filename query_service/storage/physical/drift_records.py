"""Keeps the record of drift checks in one document of the state index, changed by compare-and-set."""

from __future__ import annotations

from dataclasses import asdict, fields

from query_service.application.ports.checked_store import DriftRecord, StoredDriftRecord
from query_service.storage.physical.connection import ElasticsearchConnection
from query_service.storage.physical.names import IndexNames
from query_service.storage.physical.state_document import StateDocument

DRIFT = "drift"
_FIELDS = {field.name for field in fields(DriftRecord)}


class DriftRecords:
    """Implements CheckedStore's record of drift checks."""

    def __init__(self, connection: ElasticsearchConnection, names: IndexNames) -> None:
        self._document = StateDocument(connection, names, DRIFT)

    async def drift_record(self) -> StoredDriftRecord:
        """See CheckedStore."""
        found, guard = await self._document.read()
        # A newer release may have written fields that this one does not know.
        known = {name: value for name, value in (found or {}).items() if name in _FIELDS}
        return StoredDriftRecord(DriftRecord(**known), guard)

    async def save_drift_record(self, record: DriftRecord, stored: StoredDriftRecord) -> bool:
        """See CheckedStore."""
        return await self._document.replace(asdict(record), stored.guard)
