"""Erases personal data from journal entries of redacted orders, also from entries that come after the redaction.

The document of an order says that it is redacted. It is written before the entries of earlier versions are erased. An
earlier entry that is written after this meets the document, and is erased by its own writer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, TypeVar

import orjson

from query_service.projection.external_version import external_version, version_parts
from query_service.projection.project import event_document_id
from query_service.storage.physical.connection import ElasticsearchConnection, failure
from query_service.storage.physical.names import IndexNames
from query_service.storage.physical.reader import get_documents

T = TypeVar("T")
#: An order's id and a version of it.
Entry = tuple[str, int]
#: The statuses of a write that succeeded, and of one that another writer was faster than. Both are looked up again.
_WRITTEN_OR_OVERTAKEN = (200, 201, 409)
#: The most documents in a request.
_MOST = 100


class EntryEraser:
    """Erases entries. `params` are the parameters of its bulk requests."""

    def __init__(self, connection: ElasticsearchConnection, names: IndexNames, params: dict[str, str]) -> None:
        self._connection, self._names, self._params = connection, names, params

    async def redacted(self, order_ids: Iterable[str]) -> set[str]:
        """Returns those of the orders whose document is redacted. Sees every acknowledged write."""
        found: set[str] = set()
        for some in _parts(sorted(set(order_ids))):
            wanted = [{"_index": self._names.orders, "_id": order_id, "_source": ["redacted"]} for order_id in some]
            documents = await get_documents(self._connection, wanted)
            found |= {one["_id"] for one in documents if one["found"] and one["_source"]["redacted"]}
        return found

    async def erase(self, entries: Iterable[Entry]) -> set[Entry]:
        """Writes the entries again without personal data and salt, with the next revision.

        Returns the entries that are not there. Raises as `ElasticsearchConnection.request`.
        """
        missing: set[Entry] = set()
        for some in _parts(sorted(set(entries))):
            left: Sequence[Entry] = some
            while left:
                left = await self._erase(left, missing)
        return missing

    async def _erase(self, entries: Sequence[Entry], missing: set[Entry]) -> list[Entry]:
        """Tries to erase each entry once. Returns those that have personal data until this is known to be written."""
        index = self._names.entries
        wanted = [{"_index": index, "_id": event_document_id(*entry)} for entry in entries]
        lines, left = [], []
        for entry, stored in zip(entries, await get_documents(self._connection, wanted), strict=True):
            if not stored["found"]:
                missing.add(entry)
            elif stored["_source"]["personal"] is not None or stored["_source"]["salt"] is not None:
                left.append(entry)
                lines.append(document_lines(index, stored["_id"], *_erased(stored)))
        if lines:
            _, answer = await self._connection.request("POST", "/_bulk", params=self._params, lines=b"".join(lines))
            for item in answer["items"]:
                if (status := item["index"]["status"]) not in _WRITTEN_OR_OVERTAKEN:
                    raise failure(status, item["index"])
        return left


def _erased(stored: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Returns the next external version of an entry, and the entry without personal data."""
    parts = version_parts(stored["_version"])
    revision = parts.revision + 1
    entry = {**stored["_source"], "personal": None, "salt": None, "revision": revision}
    return external_version(parts.source_epoch, parts.version, revision), entry


def document_lines(index: str, document_id: str, version: int, document: Any) -> bytes:
    """Returns the lines of a bulk request that store a document, if its external version is greater than the stored."""
    return b'%b%b,"version":%d,"version_type":"external"}}\n%b\n' % (
        _into(index),
        orjson.dumps(document_id),
        version,
        orjson.dumps(document),
    )


@lru_cache(maxsize=256)
def _into(index: str) -> bytes:
    """Returns how a line begins that stores a document in an index."""
    return b'{"index":{"_index":%b,"_id":' % orjson.dumps(index)


def _parts(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while part := list(islice(iterator, _MOST)):
        yield part
