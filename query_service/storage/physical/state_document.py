"""Keeps one document of the state index, which is replaced only if it is as it was read.

The answer to a replacement may be lost, although Elasticsearch has stored it. So the document is read again then.
"""

from __future__ import annotations

from typing import Any

import orjson

from query_service.application.ports.errors import DependencyDown
from query_service.storage.physical.connection import ElasticsearchConnection
from query_service.storage.physical.names import IndexNames
from query_service.storage.physical.reader import get_documents


class StateDocument:
    """The document `name` of the state index. It has its content in the field of that name."""

    def __init__(self, connection: ElasticsearchConnection, names: IndexNames, name: str) -> None:
        self._connection, self._index, self._name = connection, names.state, name

    async def read(self) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        """Returns the content, None if there is none, and the guard with which `replace` detects a change."""
        [found] = await get_documents(self._connection, [{"_index": self._index, "_id": self._name}])
        if not found["found"]:
            return None, {"op_type": "create"}
        return found["_source"][self._name], {
            "if_seq_no": found["_seq_no"],
            "if_primary_term": found["_primary_term"],
        }

    async def replace(self, content: dict[str, Any], guard: dict[str, Any]) -> bool:
        """Stores the content, and returns whether it did; not if the document was changed since `guard` was read.

        Raises DependencyDown if it is not stored yet. A request without an answer may still be stored later.
        """
        try:
            status, _ = await self._connection.request(
                "PUT",
                f"/{self._index}/_doc/{self._name}",
                params={"require_alias": "true", **guard},
                body={"kind": self._name, self._name: content},
                accept=(409,),
            )
        except DependencyDown:
            stored, now = await self.read()
            if stored == orjson.loads(orjson.dumps(content)):
                return True
            if now == guard:
                raise
            return False
        return status != 409
