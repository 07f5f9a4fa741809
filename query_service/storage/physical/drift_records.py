"""Keeps the record of drift checks in one document of the state index, changed by compare-and-set."""

from __future__ import annotations

from dataclasses import asdict

from query_service.application.ports.checked_store import DriftRecord, StoredDriftRecord
from query_service.storage.physical.connection import ElasticsearchConnection
from query_service.storage.physical.names import IndexNames
from query_service.storage.physical.reader import get_documents

DRIFT = "drift"


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
        return StoredDriftRecord(DriftRecord(**found["_source"][DRIFT]), guard)

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
