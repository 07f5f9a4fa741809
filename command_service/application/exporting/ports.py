"""Declares what exports need of the storage: snapshots of the write model, and what can be read in one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from command_service.application.exporting.selections import EventSelection, OrderSelection
from command_service.domain.hash_chain import Link
from command_service.domain.order import Order


@dataclass(frozen=True, slots=True)
class Head:
    """An order's latest version: its event's id and hash, and when the event was recorded."""

    order_id: UUID
    version: int
    event_id: UUID
    hash: bytes
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One row of the journal, with its texts as they are stored. A redacted event has no personal data and no salt."""

    position: int
    link: Link
    personal: str | None
    salt: bytes | None
    hash: bytes

    @property
    def size(self) -> int:
        """Bytes of its texts in UTF-8."""
        return sum(len(text.encode()) for text in (self.link.headers, self.link.payload, self.personal or ""))


@dataclass(frozen=True, slots=True)
class Digest:
    """The number of orders in a hash bucket, and the SHA-256 over the id, version and head hash of each."""

    orders: int
    sha256: bytes


class Snapshot(Protocol):
    """The write model as it was at one moment. Only one iterator may be in use at a time.

    Everything in the snapshot was committed before `read_time`, a time of the database's clock. The methods raise
    ExportInterrupted and ExportTooSlow.
    """

    read_time: datetime
    source_epoch: int

    def heads(self, selection: OrderSelection, limit: int) -> AsyncGenerator[Head]:
        """Yields the heads of at most `limit` selected orders, sorted by order id."""

    def orders(self, selection: OrderSelection, limit: int) -> AsyncGenerator[tuple[Head, Order]]:
        """Yields at most `limit` selected orders from their tables, sorted by order id."""

    def journals(self, order_ids: Sequence[UUID], after_version: int) -> AsyncGenerator[StoredEvent]:
        """Yields the events of these orders, sorted by order id and version.

        `order_ids` are sorted. Of the first order it yields only the events after `after_version`.
        """

    def events(self, selection: EventSelection, until: int, limit: int) -> AsyncGenerator[StoredEvent]:
        """Yields at most `limit` selected events up to the position `until`, sorted by position."""

    async def digests(self, partitions: Sequence[int]) -> Mapping[int, Digest]:
        """Returns the digests of the buckets that have orders; of all buckets if `partitions` is empty."""

    async def cuts(self, parts: int) -> tuple[list[UUID], int]:
        """Returns the last order id of each of `parts` equal parts but the last, and the number of all orders."""


class Snapshots(Protocol):
    """Opens snapshots."""

    def open(self) -> AbstractAsyncContextManager[Snapshot]:
        """Opens a snapshot of now. Raises Overloaded when no connection becomes free, and ExportInterrupted."""

    async def settled_position(self) -> int:
        """Returns a position up to which no event can appear any more, after waiting for running transactions.

        Every event that was committed before the call has this position or a lower one. Raises as `open`.
        """
