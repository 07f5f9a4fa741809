"""Declares the port to a read store, from narrow to wide: `OrderReader < ProjectionWriter < ReadStore`.

`serve` gets an OrderReader, so it cannot write. `project` gets a ProjectionWriter, `migrate` a ReadStore. One
conformance suite tests every store against the whole port.

A store keeps the document of each order and the journal entry of each (order, version), each with the greatest external
version that was written. It also keeps the parked versions, and how fresh all of it is.

Every method raises DependencyDown when the store cannot be reached or does not work now, and ReadStoreNotReady when it
is not set up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from query_service.application.ports.generations import Generations
from query_service.application.ports.order_questions import NOT_LISTED, Edition, OrderQuestions
from query_service.application.ports.payment_questions import PaymentQuestions
from query_service.projection.errors import Unprojectable
from query_service.projection.order_document import EventDocument, OrderDocument
from query_service.projection.project import ProjectedEvent


@dataclass(frozen=True, slots=True)
class StoredOrder:
    """An order in the store: its document, if any, and its parked versions in ascending order.

    `generation` is the generation that was asked.
    """

    order_id: str
    document: OrderDocument | None = None
    parked_versions: tuple[int, ...] = ()
    generation: str = field(default="", compare=False)

    @property
    def version(self) -> int:
        """The version of the document; 0 when there is none."""
        return self.document["version"] if self.document is not None else 0

    @property
    def lacks_parked_version(self) -> bool:
        """Whether a parked version is newer than the document."""
        return any(version > self.version for version in self.parked_versions)


@dataclass(frozen=True, slots=True)
class ShownOrder:
    """What look-ups show of an order: the edition of its document, and whether that is redacted."""

    edition: Edition = NOT_LISTED
    redacted: bool = False


@dataclass(frozen=True, slots=True)
class EntryAtTime:
    """The journal entry in force at a time; None when the order did not exist yet.

    `missing_version` is a version that the store lacks and that may be the one in force; None when the answer is
    certain.
    """

    entry: EventDocument | None
    missing_version: int | None = None
    generation: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Freshness:
    """Everything committed on the write side before `as_of` (microseconds since 1970) is applied in `generation`.

    Every message up to the stream sequence `sequence` is applied. `stream_created_at` (microseconds since 1970)
    distinguishes the stream from an earlier one of the same name.
    """

    as_of: int
    source_epoch: int
    generation: str
    stream_created_at: int
    sequence: int


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """An event that could not be projected. `order_id` is None when the message does not name its order."""

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

    @property
    def place(self) -> tuple[int, int]:
        """The place of the message among all messages, also those of an earlier stream of the same name."""
        return self.stored_at, self.sequence

    def is_message_of(self, stream_created_at: int) -> bool:
        """Returns whether the stream created then got this event. Events of exports and of the journal came without."""
        return self.sequence > 0 and self.stored_at >= stream_created_at


@dataclass(frozen=True, slots=True)
class Applied:
    """Both documents of the event, or newer ones, are in the store."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The event can never be stored as it is."""

    reason: Unprojectable
    detail: str


@dataclass(frozen=True, slots=True)
class Deferred:
    """At least one of the two documents is not in the store yet. The event must be applied again."""

    cause: str


Outcome = Applied | Refused | Deferred


@dataclass(frozen=True, slots=True)
class StoreIdentity:
    """The id of the read model, and its generation, which is the suffix of its indices.

    A read model that was lost, or rebuilt from nothing, gets a new id.
    """

    read_model: str
    generation: str


@dataclass(frozen=True, slots=True)
class Standing:
    """The generation that answers readers now, all generations, and how fresh those are that have reached a barrier."""

    serving: str
    generations: Sequence[str]
    freshness: Sequence[Freshness] = ()


class OrderReader(OrderQuestions, PaymentQuestions, Protocol):
    """Answers questions: look-ups by id here, questions over many orders in OrderQuestions."""

    @property
    def name(self) -> str:
        """`physical`, `structural`, `logical` or `memory`."""

    @property
    def dependency(self) -> str:
        """The name that errors give to a store that is down."""

    async def orders(self, order_ids: Sequence[str]) -> list[StoredOrder]:
        """Returns each order, in the order of the ids. Sees every write that was acknowledged before the call."""

    async def shown(self, order_ids: Sequence[str]) -> list[ShownOrder]:
        """Returns what look-ups show of each order; NOT_LISTED without a document. In the order of the ids.

        It costs less than `orders`. Sees every write that was acknowledged before the call.
        """

    async def entries(self, order_id: str, versions: Sequence[int]) -> list[EventDocument | None]:
        """Returns the journal entry of each version, None where there is none. Sees every acknowledged write."""

    async def entry_at(self, order_id: str, time: int) -> EntryAtTime:
        """Returns the last entry recorded at or before `time`, in microseconds since 1970.

        Sees every acknowledged write.
        """

    async def has_own_content(self) -> bool:
        """Returns whether this release's projection made all documents, so that they must be what this release gives.

        Otherwise a release with another mapping or edition made some of them, and this one may only add to them.
        """

    async def freshness(self) -> Freshness | None:
        """Returns how fresh the generation is that this store reads; None before its first barrier."""

    async def standing(self) -> Standing:
        """Returns which generation answers readers, and how fresh all generations are."""

    async def parked_events(self) -> list[ParkedEvent]:
        """Returns all parked events in any order, including those that a later version has healed."""

    async def close(self) -> None:
        """Closes the connections."""


class ProjectionWriter(OrderReader, Protocol):
    """Writes projected events and parks the others."""

    async def apply(self, events: Sequence[ProjectedEvent]) -> list[Outcome]:
        """Writes both documents of each event unless the store has newer ones. Returns an outcome per event, in order.

        The documents end up the same in any order of events, with repeats and with concurrent writers. When it raises,
        any of the events may have been written; applying them again is safe.

        ORDER_REDACTED erases personal data and salt from the order's earlier entries. An entry that comes later, from
        before the redaction, is stored without them.
        """

    async def fill(self, orders: Sequence[Sequence[ProjectedEvent]]) -> list[Outcome]:
        """Writes whole journals: of each order all entries, and the document of its last event only.

        Returns an outcome per event, in order. Otherwise as `apply`: newer documents stay.
        """

    async def park(self, event: ParkedEvent) -> None:
        """Records an event that could not be projected. Parking it again replaces the record.

        A record of a message that came later into the stream stays, also if it was taken back.
        """

    async def unpark(self, event: ParkedEvent) -> None:
        """Deletes the record of a parked event, if there is one."""

    async def take_back(self, event: ParkedEvent) -> None:
        """Deletes the record of a parked event because of a later message, `event`. The event must name its order.

        An earlier message that is delivered again cannot park the version again.
        """

    async def parked(self, order_id: str) -> list[ParkedEvent]:
        """Returns the parked events of an order, lowest version first."""

    async def refresh(self) -> None:
        """Makes everything searchable that was applied before the call."""

    async def record_freshness(self, freshness: Freshness) -> None:
        """Records how fresh a generation is, unless a later time is recorded for it already."""

    async def identity(self) -> StoreIdentity:
        """Returns which read model this is. Raises ReadStoreNotReady when the store is not set up for this release."""


class ReadStore(ProjectionWriter, Protocol):
    """A read store that can also be set up, and rebuilt if it has `generations`."""

    @property
    def generations(self) -> Generations | None:
        """The generations of the store; None for a store that cannot be rebuilt."""

    async def prepare(self) -> StoreIdentity:
        """Creates what is missing; safe to repeat. Raises ReadStoreNotReady for what only an operator can mend."""

    async def renew_settings(self) -> list[str]:
        """Gives what an earlier release has set up the settings of this release, and returns in words what it changed.

        Only the generation that answers readers, and what no generation owns, gets them. What an operator has set
        otherwise stays. It is for a store that is prepared, and safe to repeat.
        """
