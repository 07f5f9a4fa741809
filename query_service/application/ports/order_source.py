"""Declares the port to the write side's exports, from which a read model is filled, checked and mended.

The read side has no other way to the write side's data. Exports come page by page. Each page is a snapshot of its own:
it contains everything that was committed before its `read_time`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from query_service.projection.recorded_event import RecordedEvent


class SourceRefused(Exception):  # noqa: N818
    """The write side's export service refuses the request. The text says why."""


@dataclass(frozen=True, slots=True)
class OrderSelection:
    """Selects orders by id, customer, bucket and time. An order is selected if everything that is given fits.

    `after` (exclusive) and `until` (inclusive) are order ids. `order_ids` None selects any id, and () none at all.
    `recorded_from` (inclusive) and `recorded_until` (exclusive) bound the time at which the order's latest event was
    recorded, in microseconds since 1970. `partitions` are hash buckets, 0 to 63; all when empty.
    """

    after: str = ""
    until: str = ""
    order_ids: Sequence[str] | None = None
    customer_id: str = ""
    recorded_from: int | None = None
    recorded_until: int | None = None
    partitions: Sequence[int] = ()


EVERY_ORDER = OrderSelection()


@dataclass(frozen=True, slots=True)
class OrderHead:
    """An order's version on the write side, and the hash of the event that made it (hexadecimal)."""

    order_id: str
    version: int
    hash: str


@dataclass(frozen=True, slots=True)
class OrderJournal:
    """All events of an order as the write side's journal stores them, oldest first."""

    order_id: str
    version: int
    events: Sequence[RecordedEvent]


@dataclass(frozen=True, slots=True)
class HeadPage:
    """Some orders' heads, sorted by id. `last_order_id` is where the export resumes; `read_time` is in microseconds."""

    heads: Sequence[OrderHead]
    last_order_id: str
    read_time: int
    source_epoch: int


@dataclass(frozen=True, slots=True)
class JournalPage:
    """Some orders' journals, sorted by id; otherwise as HeadPage. Every order in it is complete."""

    journals: Sequence[OrderJournal]
    last_order_id: str
    read_time: int
    source_epoch: int


@dataclass(frozen=True, slots=True)
class BucketDigest:
    """Number of a bucket's orders, and SHA-256 over them: sorted by id, of each id, version and head hash."""

    orders: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class SourceDigests:
    """The digest of each bucket, 0 to 63, all of one snapshot. `read_time` is in microseconds since 1970."""

    buckets: Sequence[BucketDigest]
    read_time: int
    source_epoch: int


@dataclass(frozen=True, slots=True)
class SourceParts:
    """The last order id of each part but the last, so that all parts are about equal, and the number of all orders."""

    until_order_ids: Sequence[str]
    orders: int


class OrderSource(Protocol):
    """Exports the write side's orders.

    Every method raises DependencyDown when the export service cannot be reached, and SourceRefused when it refuses. A
    stream of pages that breaks is resumed after the last complete order; it raises only when that fails repeatedly.
    """

    @property
    def dependency(self) -> str:
        """The name that errors give to an export service that is down."""

    def heads(self, selection: OrderSelection = EVERY_ORDER) -> AsyncIterator[HeadPage]:
        """Yields the heads of the selected orders, sorted by id. There is at least one page, which may be empty."""

    def journals(self, selection: OrderSelection = EVERY_ORDER) -> AsyncIterator[JournalPage]:
        """Yields the journals of the selected orders, sorted by id. There is at least one page, which may be empty."""

    async def digests(self) -> SourceDigests:
        """Returns the digests of all buckets."""

    async def split(self, parts: int) -> SourceParts:
        """Returns the order ids that cut all orders into `parts` parts, 1 to 1,000."""

    async def close(self) -> None:
        """Closes the connection."""
