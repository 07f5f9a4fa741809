"""Writes projected events with `_bulk`: both documents of an event in one request, guarded by its external version.

Elasticsearch refuses a version that is not greater than the stored one (409). That counts as success when the stored
document is newer, or is of the same event. When another event has that version, the event is refused as conflicting.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto
from typing import Any

from msgspec import Struct

from query_service.application.ports.errors import DependencyDown
from query_service.application.ports.read_store import Applied, Deferred, Outcome, Refused
from query_service.projection.errors import Unprojectable
from query_service.projection.project import ProjectedEvent, event_document_id
from query_service.storage.physical.connection import PASSING, ElasticsearchConnection, StoreDefect, describe, not_ready
from query_service.storage.physical.erasing import EntryEraser, document_lines
from query_service.storage.physical.generations.setup import IndexSetup
from query_service.storage.physical.kept_orders import kept
from query_service.storage.physical.names import IndexNames
from query_service.storage.physical.reader import get_documents

#: The most bytes in a request. A larger event is sent alone.
REQUEST_BYTES = 8_000_000
REDACTION = "ORDER_REDACTED"
#: For so many seconds a redaction waits for the entries of earlier versions that are not there. Another writer's
#: request may be under way: it has written the order's document before the redaction, and writes the entry after it.
PATIENCE_SECONDS = 1.0
#: A writer whose request took longer than this looks itself whether its orders are redacted. It is half of the other
#: time, so every entry is seen by its writer or by the redaction, also if the two clocks do not go alike.
SLOW_SECONDS = PATIENCE_SECONDS / 2
#: The fields of an answer that the server sends; the others are never read.
_READ = "items.*.status,items.*.error"
#: Elasticsearch's error types for a document that does not fit its mapping.
_UNMAPPABLE = frozenset(
    {
        "document_parsing_exception",
        "mapper_parsing_exception",
        "mapper_exception",
        "strict_dynamic_mapping_exception",
        "illegal_argument_exception",
        "x_content_parse_exception",
        "parsing_exception",
    }
)
_APPLIED = Applied()


class _Verdict(Enum):
    IN = auto()
    CONFLICT = auto()
    PASSING = auto()
    UNMAPPABLE = auto()


class _Write(Struct):
    """One document to be written."""

    index: str
    document_id: str
    external_version: int
    event_id: str
    lines: bytes
    verdict: _Verdict = _Verdict.PASSING
    detail: str = ""
    contradicted_by: str = ""


class BulkWriter:
    """Implements `ProjectionWriter.apply`. `shard_timeout` is how many seconds the server waits for a missing shard."""

    def __init__(
        self, connection: ElasticsearchConnection, names: IndexNames, setup: IndexSetup, *, shard_timeout: int = 5
    ) -> None:
        self._connection, self._names, self._setup = connection, names, setup
        self._orders, self._entries = names.orders, names.entries
        self._params = {"require_alias": "true", "timeout": f"{shard_timeout}s", "filter_path": _READ}
        self._eraser = EntryEraser(connection, names, self._params)
        #: Whether requests took long a moment ago.
        self._slow = False

    async def apply(self, events: Sequence[ProjectedEvent]) -> list[Outcome]:
        """See ProjectionWriter.

        Writes entries and documents in one request. While requests are slow it takes two instead of a look-up of all
        orders afterwards. A look-up of what was just written makes an index refresh, and merges follow from that.
        """
        return await self._write([(event, True) for event in events], entries_first=self._slow)

    async def fill(self, orders: Sequence[Sequence[ProjectedEvent]]) -> list[Outcome]:
        """See ProjectionWriter."""
        marked = [(event, event is events[-1]) for events in orders for event in events]
        return await self._write(marked, entries_first=True)

    async def apply_entries(self, events: Sequence[ProjectedEvent]) -> list[Outcome]:
        """See CheckedStore."""
        return await self._write([(event, False) for event in events])

    async def _write(
        self, events: Sequence[tuple[ProjectedEvent, bool]], *, entries_first: bool = False
    ) -> list[Outcome]:
        """Writes the journal entry of each event, and the order's document of those that are marked.

        Orders whose document it did not store may be redacted, so it looks that up; after a slow request, all of them.
        With `entries_first`, an order's document is sent when all entries are stored. If the order was redacted before,
        the document is refused. If it is redacted later, that finds the entries. So an order whose document was stored
        need not be looked up, however long the requests took.
        """
        unencodable: dict[int, Outcome] = {}
        pairs: dict[int, list[_Write]] = {}
        for number, (event, with_order) in enumerate(events):
            try:
                pairs[number] = self._documents(event, with_order)
            except (TypeError, ValueError) as error:  # a value that JSON, UTF-8 or the contract cannot hold
                unencodable[number] = Refused(Unprojectable.UNMAPPABLE, f"the document cannot be encoded: {error}")
        slow = False
        for together in _in_turns(pairs.values()) if entries_first else [pairs.values()]:
            for request in _requests(together):
                slow |= await self._send(request) > SLOW_SECONDS
        self._slow = slow
        writes = [write for pair in pairs.values() for write in pair]
        conflicts = [write for write in writes if write.verdict is _Verdict.CONFLICT]
        # A later event of the same order may be stored and say nothing of the one that was refused.
        stored = {write.document_id for write in writes if write.verdict is _Verdict.IN}
        stored -= {write.document_id for write in conflicts}
        await self._resolve_conflicts(conflicts)
        if any(write.verdict is _Verdict.UNMAPPABLE for write in writes):
            # With the wrong indices every document looks unmappable. Then this raises, and no event is parked.
            await self._setup.check()
        outcomes = [
            unencodable[number] if number in unencodable else _outcome(pairs[number]) for number in range(len(events))
        ]
        applied = [event for (event, _), outcome in zip(events, outcomes, strict=True) if outcome is _APPLIED]
        # The entry of an event whose order's document was refused may be stored too. A deferred event comes again.
        in_store = [
            events[number][0]
            for number, pair in pairs.items()
            if pair[-1].verdict is _Verdict.IN and not isinstance(outcomes[number], Deferred)
        ]
        await self._keep_erased(applied, in_store, stored if entries_first or not slow else set())
        return outcomes

    async def _keep_erased(
        self, applied: Sequence[ProjectedEvent], in_store: Sequence[ProjectedEvent], stored: set[str]
    ) -> None:
        """Erases the earlier entries of orders that `applied` events redact, and entries `in_store` that come late.

        `stored` has the ids of the documents that were stored now, by requests that no redaction can have missed.
        """
        late = [event for event in in_store if not event.order["redacted"]]
        redacted = await self._eraser.redacted(event.order_id for event in late if event.order_id not in stored)
        await self._eraser.erase((event.order_id, event.version) for event in late if event.order_id in redacted)
        redactions = (event for event in applied if event.event["event_type"] == REDACTION)
        missing = await self._eraser.erase(
            (event.order_id, version) for event in redactions for version in range(1, event.version)
        )
        if missing:
            # One may never come: it is parked or discarded, or a rebuild has not filled it in yet.
            await asyncio.sleep(PATIENCE_SECONDS)
            await self._eraser.erase(missing)

    def _documents(self, event: ProjectedEvent, with_order: bool) -> list[_Write]:
        """Returns what writes the journal entry, after what writes the order's document."""
        order_id = event.order_id
        entry = _write(self._entries, event_document_id(order_id, event.version), event, event.event)
        return [_write(self._orders, order_id, event, kept(event.order)), entry] if with_order else [entry]

    async def _send(self, writes: list[_Write]) -> float:
        """Sends a request, and returns how many seconds it took."""
        started = time.monotonic()
        lines = b"".join([write.lines for write in writes])
        try:
            _, answer = await self._connection.request("POST", "/_bulk", params=self._params, lines=lines)
        except DependencyDown:  # it took longer than any answer
            self._slow = True
            raise
        for write, item in zip(writes, answer["items"], strict=True):
            result = item["index"]
            _judge(write, result["status"], result.get("error"))
        return time.monotonic() - started

    async def _resolve_conflicts(self, writes: list[_Write]) -> None:
        if not writes:
            return
        wanted = [{"_index": write.index, "_id": write.document_id, "_source": ["event_id"]} for write in writes]
        for write, stored in zip(writes, await get_documents(self._connection, wanted), strict=True):
            if not stored["found"] or stored["_version"] < write.external_version:
                write.verdict, write.detail = _Verdict.PASSING, "the stored document disappeared between two requests"
                continue
            write.verdict = _Verdict.IN
            if stored["_version"] == write.external_version and stored["_source"]["event_id"] != write.event_id:
                write.contradicted_by = stored["_source"]["event_id"]


def _write(index: str, document_id: str, event: ProjectedEvent, document: Any) -> _Write:
    version = event.external_version
    lines = document_lines(index, document_id, version, document)
    return _Write(index, document_id, version, event.event_id, lines)


def _in_turns(events: Iterable[list[_Write]]) -> Iterator[list[list[_Write]]]:
    """Returns the writes of the journal entries, and then those of the orders."""
    pairs = list(events)
    yield [pair[-1:] for pair in pairs]
    yield [pair[:-1] for pair in pairs if pair[:-1]]


def _requests(events: Iterable[list[_Write]]) -> Iterator[list[_Write]]:
    """Splits the writes into requests of bounded size. The documents of one event stay together."""
    request: list[_Write] = []
    size = 0
    for pair in events:
        length = sum(len(write.lines) for write in pair)
        if request and size + length > REQUEST_BYTES:
            yield request
            request, size = [], 0
        request += pair
        size += length
    if request:
        yield request


def _judge(write: _Write, status: int, error: Any) -> None:
    """Sets the verdict of a write from its item in the answer.

    Raises ReadStoreNotReady for a missing index, and StoreDefect for a failure that neither the document nor a passing
    state of the server explains.
    """
    if status in (200, 201):
        write.verdict = _Verdict.IN
        return
    kind, reason = describe(error)
    if kind == "index_not_found_exception":
        raise not_ready(reason)
    write.detail = f"{write.index}: {kind}: {reason}"
    if status == 409:
        write.verdict = _Verdict.CONFLICT
    elif status in PASSING or kind == "index_closed_exception":
        write.verdict = _Verdict.PASSING
    elif kind in _UNMAPPABLE:
        write.verdict = _Verdict.UNMAPPABLE
    else:
        raise StoreDefect(f"{status} {write.detail}")


def _outcome(pair: list[_Write]) -> Outcome:
    """Returns the outcome of an event, which is applied when all its documents are stored."""
    for write in pair:
        if write.verdict is _Verdict.PASSING:
            return Deferred(write.detail)
    for write in pair:
        if write.verdict is _Verdict.UNMAPPABLE:
            return Refused(Unprojectable.UNMAPPABLE, write.detail)
        if write.contradicted_by:
            return Refused(
                Unprojectable.CONFLICTING, f"event {write.contradicted_by} already has this version of the order"
            )
    return _APPLIED
