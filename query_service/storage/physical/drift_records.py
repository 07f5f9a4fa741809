"""Keeps the record of drift checks in one document of the state index, changed by compare-and-set."""

from __future__ import annotations

from dataclasses import asdict, fields

from query_service.application.ports.checked_store import DriftRecord, StoredDriftRecord
from query_service.storage.physical.connection import ElasticsearchConnection
from query_service.storage.physical.names import IndexNames
from query_service.storage.physical.reader import get_documents

DRIFT = "drift"
_FIELDS = {field.name for field in fields(DriftRecord)}


class DriftRecords:
    """Implements CheckedStore's record of drift checks."""

    def __init__(self, connection: ElasticsearchConnection, names: IndexNames) -> None:
        self._connection, self._names = connection, names

    async def drift_record(self) -> StoredDriftRecord:
        """See CheckedStore."""
        [found] = await get_documents(self._connection, [{"_index": self._names.state, "_id": DRIFT}])
        if not found["found"]:
            return StoredDriftRecord(DriftRecord(), {"op_type": "create"})
        guard = {"if_seq_no": found["_seq_no"], "if_primary_term": found["_primary_term"]}
        # A newer release may have written fields that this one does not know.
        known = {name: value for name, value in found["_source"][DRIFT].items() if name in _FIELDS}
        return StoredDriftRecord(DriftRecord(**known), guard)

    async def save_drift_record(self, record: DriftRecord, stored: StoredDriftRecord) -> bool:
        """See CheckedStore."""
        status, _ = await self._connection.request(
            "PUT",
            f"/{self._names.state}/_doc/{DRIFT}",
            params={"require_alias": "true", **stored.guard},
            body={"kind": DRIFT, DRIFT: asdict(record)},
            accept=(409,),
        )
        return status != 409
