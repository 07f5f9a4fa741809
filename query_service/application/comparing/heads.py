"""Compares orders one by one with their heads on the write side.

A comparison of pages only suspects orders, because both sides go on. Each suspect is then looked up on both sides:
first its head, and after a barrier that covers this look-up, its document as it is now. Whatever the read model lacks
then is missing, because nothing is on its way any more. A later version than the head is never a difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from query_service.application.comparing.barrier import AppliedBarrier
from query_service.application.comparing.findings import Finding, Kind
from query_service.application.ports.checked_store import CheckedStore, ScannedOrder
from query_service.application.ports.order_source import OrderHead, OrderSelection, OrderSource
from query_service.application.ports.read_store import StoredOrder
from query_service.projection.errors import ProjectionError
from query_service.projection.external_version import external_version
from query_service.projection.project import project
from query_service.projection.proto_json import is_identifier
from query_service.projection.recorded_event import stream_event

#: Suspects that are looked up together.
TOGETHER = 500


def suspects(heads: Mapping[str, OrderHead], scanned: Mapping[str, ScannedOrder], source_epoch: int) -> list[str]:
    """Returns the ids of the orders in which a page of each side differs.

    A later version of the read model is no difference, unless it is of an earlier epoch than the write side's page.
    """
    first_of_epoch = external_version(source_epoch, 1) if source_epoch else 0
    missing = [order_id for order_id in heads if order_id not in scanned]
    unknown = [order_id for order_id in scanned if order_id not in heads]
    differing = [
        order_id
        for order_id, head in heads.items()
        if (found := scanned.get(order_id)) is not None
        and (
            found.version < head.version
            or (found.version == head.version and found.hash != head.hash)
            or (found.version > head.version and found.external_version < first_of_epoch)
        )
    ]
    return sorted([*missing, *unknown, *differing])


class SuspectCheck:
    """Looks suspects up on both sides."""

    def __init__(
        self,
        store: CheckedStore,
        source: OrderSource,
        barrier: AppliedBarrier,
    ) -> None:
        self._store, self._source, self._barrier = store, source, barrier

    async def findings(self, order_ids: Sequence[str]) -> list[Finding]:
        """Returns what is wrong with these orders."""
        possible = [order_id for order_id in order_ids if is_identifier(order_id)]
        found = [
            Finding(Kind.ORDER_UNKNOWN, order_id, 0, "its id is none of an order")
            for order_id in order_ids
            if not is_identifier(order_id)
        ]
        for begin in range(0, len(possible), TOGETHER):
            found += await self._together(possible[begin : begin + TOGETHER])
        return found

    async def _together(self, order_ids: Sequence[str]) -> list[Finding]:
        heads: dict[str, OrderHead] = {}
        epoch = 0
        async for page in self._source.heads(OrderSelection(order_ids=order_ids)):
            heads |= {head.order_id: head for head in page.heads}
            epoch = page.source_epoch
            await self._barrier.passed(page.read_time, page.source_epoch)
        found: list[Finding] = []
        for stored in await self._store.orders(order_ids):
            finding = difference(heads.get(stored.order_id), stored, epoch)
            if finding is not None:
                found.append(await self._explained(finding, stored))
        return found

    async def _explained(self, finding: Finding, stored: StoredOrder) -> Finding:
        """Returns the finding, as PARKED_UNRECORDED if the version that is missing cannot be projected."""
        if finding.kind not in (Kind.DOCUMENT_MISSING, Kind.DOCUMENT_OLDER):
            return finding
        selection = OrderSelection(order_ids=[finding.order_id])
        broken: Finding | None = None
        async for page in self._source.journals(selection):
            for event in (event for journal in page.journals for event in journal.events):
                if event.version <= stored.version or event.version in stored.parked_versions:
                    continue
                try:
                    project(stream_event(event, page.source_epoch))
                except ProjectionError as error:
                    broken = Finding(Kind.PARKED_UNRECORDED, finding.order_id, event.version, error.detail)
                else:
                    broken = None
        return broken or finding


def difference(head: OrderHead | None, stored: StoredOrder, source_epoch: int) -> Finding | None:
    """Returns what is wrong with an order; None when nothing is.

    `stored` was read after everything was applied that the write side had when it gave `head`, in `source_epoch`.
    """
    document = stored.document
    if head is None:
        return _finding(Kind.ORDER_UNKNOWN, stored, "the write side has no such order") if document else None
    expected = head.version
    while expected in stored.parked_versions:
        expected -= 1
    if document is None:
        detail = f"the write side has version {head.version}"
        return Finding(Kind.DOCUMENT_MISSING, head.order_id, head.version, detail) if expected else None
    if stored.version < expected:
        detail = f"it has version {stored.version}, the write side {head.version}"
        return Finding(Kind.DOCUMENT_OLDER, head.order_id, head.version, detail)
    if stored.version > head.version and document["source_epoch"] < source_epoch:
        return _finding(Kind.VERSION_LOST, stored, f"the write side was restored and has version {head.version}")
    if stored.version == head.version and document["hash"] != head.hash:
        return _finding(Kind.DOCUMENT_ALTERED, stored, "its hash is not the write side's")
    return None


def _finding(kind: Kind, stored: StoredOrder, detail: str) -> Finding:
    return Finding(kind, stored.order_id, stored.version, detail)
