"""Projects an order's journal, and chooses the revisions with which its documents replace the stored ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from query_service.application.ports.checked_store import ExternalVersions
from query_service.application.ports.order_source import OrderJournal
from query_service.application.ports.read_store import StoredOrder
from query_service.application.reprojecting.revisions import RevisionsUsedUp, next_revision
from query_service.projection.errors import ProjectionError
from query_service.projection.external_version import MAX_REVISION, external_version
from query_service.projection.project import ProjectedEvent, project
from query_service.projection.recorded_event import RecordedEvent, stream_event


@dataclass(frozen=True, slots=True)
class Unprojected:
    """An event that this release cannot project, and why."""

    event: RecordedEvent
    error: ProjectionError


@dataclass(frozen=True, slots=True)
class OrderPlan:
    """What to write of an order.

    `head` is the latest version that can be projected; both its documents are written. It is None when there is none,
    or when the store has a later one. Of each of `others` only the journal entry is written.
    """

    order_id: str
    version: int
    head: ProjectedEvent | None
    others: Sequence[ProjectedEvent]
    unprojected: Sequence[Unprojected]
    stored: StoredOrder
    #: Whether the store has entries of versions that the write side lost when it was restored.
    has_lost_versions: bool

    @property
    def events(self) -> list[ProjectedEvent]:
        """All events that are written."""
        return [*self.others, *([self.head] if self.head is not None else [])]


def plan(
    journal: OrderJournal,
    source_epoch: int,
    stored: StoredOrder,
    editions: ExternalVersions,
    *,
    attempt: int = 0,
    refused: Mapping[int, ProjectionError] = MappingProxyType({}),
) -> OrderPlan:
    """Returns what to write of an order. Raises RevisionsUsedUp.

    `refused` are versions whose document the store has refused, and why.

    With each `attempt` the revision of a document that is missing rises, because the store may remember the version
    with which it was removed.
    """
    head: ProjectedEvent | None = None
    others: list[ProjectedEvent] = []
    unprojected: list[Unprojected] = []
    has_document = False
    for event in reversed(journal.events):
        of_order = None if has_document else next_revision(editions.order, source_epoch, event.order_id, event.version)
        of_entry = next_revision(editions.entries.get(event.version, 0), source_epoch, event.order_id, event.version)
        is_missing = not editions.order or event.version not in editions.entries
        revision = max(of_order or 0, of_entry or 0) + (2**attempt - 1 if is_missing else 0)
        if revision > MAX_REVISION:
            raise RevisionsUsedUp(event.order_id, event.version)
        if (refusal := refused.get(event.version)) is not None:
            unprojected.append(Unprojected(event, refusal))
            continue
        try:
            projected = project(stream_event(event, source_epoch), revision)
        except ProjectionError as error:
            unprojected.append(Unprojected(event, error))
            continue
        if of_order is not None:
            head = projected
        else:
            others.append(projected)
        has_document = True
    first_of_epoch = external_version(source_epoch, 1)
    lost = any(version > journal.version and number < first_of_epoch for version, number in editions.entries.items())
    return OrderPlan(journal.order_id, journal.version, head, others, unprojected, stored, lost)
