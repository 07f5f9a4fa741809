"""Declares the port to a read store, from narrow to wide: `OrderReader < ProjectionWriter < ReadStore`.

`serve` gets an OrderReader and so cannot write, `project` a ProjectionWriter, `migrate` a ReadStore. One conformance
suite holds every store to all of it.

A store keeps for each order the document with the greatest external version, for each (order, version) the journal's
entry with the greatest external version, the parked versions, and how fresh all of it is.

Every method raises DependencyDown when the store cannot be reached or cannot work now, and ReadStoreNotReady when its
set-up is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from query_service.application.ports.order_questions import OrderQuestions
from query_service.projection.errors import Unprojectable
from query_service.projection.order_document import EventDocument, OrderDocument
from query_service.projection.project import ProjectedEvent


@dataclass(frozen=True, slots=True)
class StoredOrder:
    """An order in the store: its document, and its parked versions, ascending."""

    order_id: str
    document: OrderDocument | None = None
    parked_versions: tuple[int, ...] = ()

    @property
    def version(self) -> int:
        """The version of the document; 0 when there is none."""
        return self.document["version"] if self.document is not None else 0

    @property
    def lacks_parked_version(self) -> bool:
        """Whether a parked version is newer than the document."""
        return any(version > self.version for version in self.parked_versions)


@dataclass(frozen=True, slots=True)
class EntryAtTime:
    """The journal's entry in force at a time; None if the order did not exist yet.

    `missing_version` is a version that is not in the store and could be the one in force instead; None if the answer is
    certain.
    """

    entry: EventDocument | None
    missing_version: int | None = None


@dataclass(frozen=True, slots=True)
class Freshness:
    """Everything committed on the write side before `as_of` (microseconds since 1970) is applied.

    `sequence` is the stream sequence up to which all is applied. `stream_created_at` (microseconds since 1970)
    distinguishes that stream from another of the same name.
    """

    as_of: int
    source_epoch: int
    generation: str
    stream_created_at: int
    sequence: int


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """An event that could not be projected. `order_id` is None if the message does not even name its order."""

    order_id: str | None
    version: int
    event_id: str
    event_type: str
    stream: str
    sequence: int
    #: When the stream got the message, and when it was parked: microseconds since 1970.
    stored_at: int
    parked_at: int
    reason: Unprojectable
    detail: str


@dataclass(frozen=True, slots=True)
class Applied:
    """Both documents are stored, or newer ones are."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The event can never be stored as it is."""

    reason: Unprojectable
    detail: str


@dataclass(frozen=True, slots=True)
class Deferred:
    """At least one of the two documents is not stored yet; the same event must be applied again."""

    cause: str


Outcome = Applied | Refused | Deferred


@dataclass(frozen=True, slots=True)
class StoreIdentity:
    """Which read model this is: `read_model` changes after each loss or rebuild from nothing.

    `generation`: the suffix of its indices.
    """

    read_model: str
    generation: str


class OrderReader(OrderQuestions, Protocol):
    """What queries need: look-ups by id here, queries over many orders in OrderQuestions."""

    @property
    def name(self) -> str:
        """`physical`, `structural`, `logical` or `memory`."""

    @property
    def dependency(self) -> str:
        """The name of the store that a caller gets when it is down."""

    async def orders(self, order_ids: Sequence[str]) -> list[StoredOrder]:
        """Returns each order in the store, in the given order; sees every write acknowledged before."""

    async def entries(self, order_id: str, versions: Sequence[int]) -> list[EventDocument | None]:
        """Returns the journal's entries of these versions, None for a missing one; sees every acknowledged write."""

    async def entry_at(self, order_id: str, time: int) -> EntryAtTime:
        """Returns the last entry recorded at or before `time` (microseconds since 1970).

        Sees every acknowledged write.
        """

    async def freshness(self) -> Freshness | None:
        """Returns how fresh the store is; None before the first barrier."""

    async def close(self) -> None:
        """Releases connections."""


class ProjectionWriter(OrderReader, Protocol):
    """What the projection needs."""

    async def apply(self, events: Sequence[ProjectedEvent]) -> list[Outcome]:
        """Writes both documents of each event unless the store has newer ones; one outcome per event, in order.

        Any order, any repetition and any concurrency give the same documents. If it raises, nothing is known about any
        of the events, and applying them again is safe.
        """

    async def park(self, event: ParkedEvent) -> None:
        """Records that an event could not be projected; the same event twice counts once."""

    async def unpark(self, event: ParkedEvent) -> None:
        """Deletes the record of a parked event; does nothing if it is not parked."""

    async def parked(self, order_id: str) -> list[ParkedEvent]:
        """Returns the parked events of an order, oldest version first."""

    async def parked_events(self) -> list[ParkedEvent]:
        """Returns all parked events in any order, also those that a later version has healed."""

    async def refresh(self) -> None:
        """Makes everything searchable that was applied before the call."""

    async def record_freshness(self, freshness: Freshness) -> None:
        """Stores how fresh the store is; an older time than the stored one changes nothing."""

    async def identity(self) -> StoreIdentity:
        """Returns which read model this is. Raises ReadStoreNotReady if it is not set up for this release."""


class ReadStore(ProjectionWriter, Protocol):
    """What set-up needs."""

    async def prepare(self) -> StoreIdentity:
        """Creates what is missing; safe to repeat. Raises ReadStoreNotReady for what only an operator can change."""
