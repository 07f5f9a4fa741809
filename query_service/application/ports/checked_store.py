"""Declares what checking and mending a read model needs of its store, beyond reading and projecting.

Everything is addressed by order id. A document's external version says which write made it; see
`query_service.projection.external_version`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from query_service.application.ports.read_store import Outcome, ProjectionWriter, ReadStore
from query_service.projection.order_document import OrderDocument
from query_service.projection.project import ProjectedEvent


@dataclass(frozen=True, slots=True)
class ScannedOrder:
    """An order as a scan sees it. `document` is None unless the scan asked for documents."""

    order_id: str
    version: int
    hash: str
    external_version: int
    document: OrderDocument | None = None


@dataclass(frozen=True, slots=True)
class ExternalVersions:
    """The external version of an order's document, and of each of its journal entries by order version.

    `order` is 0 and an entry is left out when the store does not have it.
    """

    order: int
    entries: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class SwappedIndex:
    """Readers are sent to the index `found`, which lacks the read model's documents. `right` has them.

    `right` is "" when several have documents, and nothing says which of them must answer readers.
    """

    alias: str
    found: str
    right: str


@dataclass(frozen=True, slots=True)
class DriftRecord:
    """The last drift check of a read model, and who does the checks. Times are microseconds since 1970; 0: never.

    Until `lease_until` the checks belong to `holder`. The last complete round compared the state at `compared_at`, took
    `seconds` and covered `orders`; `found` and `repaired` count its findings by kind. `problem` says why the latest
    round could not be completed; "" when it was.
    """

    holder: str = ""
    lease_until: int = 0
    compared_at: int = 0
    seconds: float = 0.0
    orders: int = 0
    found: Mapping[str, int] = field(default_factory=dict)
    repaired: Mapping[str, int] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class StoredDriftRecord:
    """The record as it is stored, and what `save_drift_record` needs to detect a change in between."""

    record: DriftRecord
    guard: Any = field(default=None, compare=False)


class CheckedStore(ProjectionWriter, Protocol):
    """A store whose content can be compared with the write side, and mended."""

    def scan(
        self, *, after: str = "", until: str = "", documents: bool = False
    ) -> AsyncGenerator[Sequence[ScannedOrder], None]:
        """Yields pages of the orders with ids after `after` up to `until` ("" for all), sorted by id.

        All pages are of one moment, and show what was refreshed before the first.
        """

    async def external_versions(self, order_id: str, versions: Sequence[int]) -> ExternalVersions:
        """Returns the external versions of the order's document and of these entries. Sees every acknowledged write."""

    async def apply_entries(self, events: Sequence[ProjectedEvent]) -> list[Outcome]:
        """Writes only the journal entry of each event; otherwise as `apply`."""

    async def remove(self, order_id: str, *, above: int = 0) -> None:
        """Removes the order's journal entries of versions above `above`; with 0 also its document and parked records.

        Each removal has a version above the stored one. So a write that was sent earlier and arrives later is refused,
        for at least a minute.
        """

    async def swapped_indices(self) -> list[SwappedIndex]:
        """Returns where readers are sent to an index that lacks the documents, while another one has them."""

    async def swap_back(self, swapped: SwappedIndex) -> None:
        """Sends readers to the index with the documents again. Its `right` must be known."""

    async def drift_record(self) -> StoredDriftRecord:
        """Returns the record of drift checks; an empty one before the first."""

    async def save_drift_record(self, record: DriftRecord, stored: StoredDriftRecord) -> bool:
        """Replaces `stored` by `record`, and returns whether it did; not if another process changed it meanwhile."""


class CheckedReadStore(CheckedStore, ReadStore, Protocol):
    """A store for every process."""
