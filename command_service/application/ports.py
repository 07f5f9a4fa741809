"""What the use cases need from outside. Storage implements the unit of work, wire the representation."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from command_service.application.command_call import CommandCall
from command_service.application.event_record import EventRecord, Head
from command_service.domain.events import Event
from command_service.domain.order import Order


@dataclass(frozen=True, slots=True)
class FirstCall:
    """The request id is ours until the transaction ends.

    `now` is the database's clock, `source_epoch` the database's incarnation.
    """

    now: datetime
    source_epoch: int


@dataclass(frozen=True, slots=True)
class EarlierCall:
    """The request id was used before: with this fingerprint, and it got this response."""

    fingerprint: bytes
    response: bytes


@dataclass(frozen=True, slots=True)
class EventContext:
    """What stands around an event, the same for all events of one command."""

    actor: str
    request_id: UUID
    reason: str


@dataclass(frozen=True, slots=True)
class EncodedEvent:
    """An event's two JSON texts."""

    payload: str
    personal: str


@dataclass(frozen=True, slots=True)
class StoredOrder:
    """An order that is locked until the transaction ends, and the newest link of its chain.

    `now` is the database's clock, read after the lock was got, and later than the record of every earlier event.
    """

    order: Order
    head: Head
    now: datetime


@dataclass(frozen=True, slots=True)
class NewOrder:
    """What an order that a command makes is known by."""

    order_id: UUID
    source: str
    order_number: str


class CommandLog(Protocol):
    """The memory that makes commands safe to repeat: (principal, request id) → fingerprint, response."""

    async def claim(self, call: CommandCall, new_order: NewOrder | None = None) -> FirstCall | EarlierCall:
        """Takes the request id. While another transaction holds it this waits for that one's end.

        Raises RuleViolated when the id or the number of the order that the call is to make names another order.
        """

    def answer(self, call: CommandCall, response: bytes) -> None:
        """Remembers the response; written by the commit."""


class Orders(Protocol):
    """The orders' state."""

    def add(self, order: Order, head: EventRecord) -> None:
        """A new order with the event that made it; written by the commit, which refuses an id or number that was taken
        after the claim."""

    async def lock(self, order_id: UUID) -> StoredOrder | None:
        """The order, which no other transaction changes until this one ends; waits for those that do. None: no order.

        Raises as `UnitOfWork.commit`.
        """

    def update(self, before: Order, after: Order, head: EventRecord) -> None:
        """What a command changed in a locked order, with the event that changed it last; written by the commit."""


class Outbox(Protocol):
    """The journal, and what the relay publishes from."""

    def append(self, records: Sequence[EventRecord]) -> None:
        """Events in the order of their versions; written by the commit."""


class UnitOfWork(Protocol):
    """One transaction over state, outbox and command log. Left without a commit it never happened."""

    @property
    def command_log(self) -> CommandLog:
        """The request ids of this transaction."""

    @property
    def orders(self) -> Orders:
        """The orders of this transaction."""

    @property
    def outbox(self) -> Outbox:
        """The events of this transaction."""

    async def commit(self) -> None:
        """Writes everything and makes it durable, or raises and nothing happened. A caller who leaves does not end it.

        Raises RuleViolated for what only the database can see, Conflict when another transaction was in the way, and
        ConnectionBroken: then alone it may have happened.
        """


class UnitsOfWork(Protocol):
    """Where units of work come from."""

    def begin(self, deadline: float | None = None) -> AbstractAsyncContextManager[UnitOfWork]:
        """A new one, no statement of which runs long beyond `deadline` (of `time.monotonic`).

        Raises Overloaded when there is no capacity, DependencyUnavailable when there is no database, TimedOut when the
        deadline is over.
        """


class Representation(Protocol):
    """How orders and events look to callers and consumers."""

    def event(self, event_id: UUID, event: Event, order: Order, context: EventContext) -> EncodedEvent:
        """The stored form of an event with the order after it, which lists as many movements as there is room for."""

    def room_needed(self, order: Order, *, every_movement: bool) -> int:
        """Bytes that an event of the order can take, whatever is recorded later; with the movements that the order has
        when `every_movement` is set, else with the newest of each kind.
        """

    def headers(self, call: CommandCall, source_epoch: int) -> str:
        """The JSON text of what travels beside an event."""

    def response(self, order: Order, events: Sequence[tuple[UUID, Event]], context: EventContext, epoch: int) -> bytes:
        """The serialized answer to the command whose events these are."""

    def import_result(
        self, order: Order, events: Sequence[tuple[UUID, Event]], context: EventContext, epoch: int
    ) -> bytes:
        """The serialized result of an imported order."""


class Ids(Protocol):
    """Where new ids and salts come from."""

    def event_id(self) -> UUID:
        """A UUID of version 7."""

    def salt(self) -> bytes:
        """16 unpredictable bytes."""
