"""Checks orders of the read model against their own journal entries.

An entry has the write side's text, and the hash chain shows any change of it. The last entry's hash is the document's,
which digests compare with the write side's. So no text is fetched from the write side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from query_service.application.comparing.barrier import AppliedBarrier
from query_service.application.comparing.findings import Finding, Kind
from query_service.application.comparing.pace import Pace
from query_service.application.ports.checked_store import CheckedStore, ScannedOrder
from query_service.application.ports.order_source import OrderSelection, OrderSource
from query_service.projection.external_version import version_parts
from query_service.projection.journal_check import JournalCheck
from query_service.projection.order_document import EventDocument, OrderDocument

#: Suspects that are looked up after one barrier.
TOGETHER = 500
#: Orders that are checked at the same time, and then there is a rest.
UNTIL_REST = 20
#: An altered document may name any version. No order has more versions than this.
MOST_VERSIONS = 100_000


def content_findings(
    order: ScannedOrder,
    entries: Sequence[EventDocument | None],
    parked_versions: Sequence[int],
    *,
    settled: int = MOST_VERSIONS,
    own: bool = True,
) -> list[Finding]:
    """Returns what is wrong with an order's document, and with its journal entries of the versions 1 to its version.

    The entries of versions up to `settled` must be there. A later one may be under way: a document and its entry do not
    become visible together. `own`: see JournalCheck.
    """
    found: list[Finding] = []
    check = JournalCheck(order.order_id, own=own)
    for version, entry in enumerate(entries, start=1):
        if entry is None:
            check.missing()
            if version <= settled and version not in parked_versions:
                found.append(Finding(Kind.ENTRY_MISSING, order.order_id, version, "the journal has no such entry"))
        elif (fault := check.entry_fault(entry)) is not None:
            found.append(Finding(Kind.ENTRY_ALTERED, order.order_id, version, fault))
    if order.document is not None and check.head is not None:
        detail = check.document_fault(order.document) or _write_fault(order.document, order.external_version)
        if detail is not None:
            found.append(Finding(Kind.DOCUMENT_ALTERED, order.order_id, order.version, detail))
    return found


class ContentCheck:
    """Checks the content of orders in `store`. What a page shows is only suspected, because the read model goes on.

    Suspects are read again after a barrier, when everything that belongs together is written.
    """

    def __init__(
        self,
        store: CheckedStore,
        source: OrderSource,
        barrier: AppliedBarrier,
        pace: Pace,
    ) -> None:
        self._store, self._source, self._barrier = store, source, barrier
        self._pace = pace
        self._own = True

    async def begin(self) -> None:
        """Begins a round. A migration may come between two rounds, after which another release writes too."""
        self._own = await self._store.has_own_content()

    async def suspects(self, page: Sequence[ScannedOrder]) -> list[str]:
        """Returns the ids of orders in a page, scanned with documents, that seem to be wrong."""
        journals = await asyncio.gather(*(self._entries(order) for order in page))
        return [
            order.order_id
            for order, entries in zip(page, journals, strict=True)
            if content_findings(order, entries, (), own=self._own)
        ]

    async def findings(self, order_ids: Sequence[str]) -> list[Finding]:
        """Returns what is wrong with these orders. Nothing is reported of an order that the read model lacks."""
        found: list[Finding] = []
        for begin in range(0, len(order_ids), TOGETHER):
            together = order_ids[begin : begin + TOGETHER]
            settled: dict[str, int] = {}
            async for page in self._source.heads(OrderSelection(order_ids=together)):
                await self._barrier.passed(page.read_time, page.source_epoch)
                settled |= {head.order_id: head.version for head in page.heads}
            for first in range(0, len(together), UNTIL_REST):
                some = together[first : first + UNTIL_REST]
                for of_order in await asyncio.gather(*(self._of_order(one, settled.get(one, 0)) for one in some)):
                    found += of_order
                await self._pace.rest()
        return found

    async def _of_order(self, order_id: str, settled: int) -> list[Finding]:
        while True:
            before = await self._store.external_versions(order_id, [])
            [stored] = await self._store.orders([order_id])
            document = stored.document
            if document is None:
                return []
            scanned = ScannedOrder(order_id, version_of(document), "", before.order, document)
            entries = await self._entries(scanned)
            if (await self._store.external_versions(order_id, [])).order == before.order:
                parked = stored.parked_versions
                return content_findings(scanned, entries, parked, settled=settled, own=self._own)

    async def _entries(self, order: ScannedOrder) -> list[EventDocument | None]:
        return await self._store.entries(order.order_id, range(1, min(order.version, MOST_VERSIONS) + 1))


def version_of(document: OrderDocument) -> int:
    """Returns the version that a document names; 0 when it was altered and names none."""
    version: Any = document.get("version")
    return version if isinstance(version, int) else 0


def _write_fault(document: OrderDocument, external_version: int) -> str | None:
    try:
        parts = version_parts(external_version)
    except ValueError:
        return f"its external version {external_version} is none that a projector writes"
    if parts != (document.get("source_epoch"), document.get("version"), document.get("revision")):
        return "its external version is not the one that it names: another program wrote it"
    return None
