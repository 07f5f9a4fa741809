"""Contains the read stores. Each package is named by how far reads are separated from the write side.

`physical` has a database of its own for reads. `memory` is for experiments and tests.
"""

from __future__ import annotations

from query_service.application.ports.checked_store import CheckedReadStore
from query_service.config import QuerySettings
from query_service.storage.memory import MemoryStore
from query_service.storage.physical.store import PhysicalStore


def open_read_store(settings: QuerySettings, *, request_timeout: float, generation: str = "") -> CheckedReadStore:
    """Returns the store that `QUERY_READ_STORE` names. Sends no request yet. `request_timeout` is in seconds.

    It reads and writes `generation`; by default the one that answers readers.
    """
    if settings.read_store == "memory":
        return MemoryStore()
    return PhysicalStore(
        settings.elasticsearch_url.get_secret_value(),
        index_prefix=settings.index_prefix,
        request_timeout=request_timeout,
        generation=generation,
    )
