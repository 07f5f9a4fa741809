"""What the use cases need from outside. Storage implements the unit of work, wire the representation."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from command_service.application.command_call import CommandCall
from command_service.application.event_record import EventRecord
from command_service.domain.decision import Decision
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
class Description:
    """An event's three JSON texts as the journal keeps them, and the serialized response to its command."""

    payload: str
    personal: str
    headers: str
    response: bytes

    @property
    def size(self) -> int:
        """Bytes of the event."""
        return sum(len(text.encode()) for text in (self.payload, self.personal, self.headers))


@dataclass(frozen=True, slots=True)
class StoredOrder:
    """An order that is locked until the transaction ends, and the hash of its newest event.

    `now` is the database's clock, read after the lock was got, and later than the record of every earlier event.
    """

    order: Order
    head_hash: bytes
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

    def append(self, record: EventRecord) -> None:
        """An event; written by the commit."""


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
    """How orders and events look to callers and consumers; wire implements it, which knows the contract."""

    def describe(self, call: CommandCall, event_id: UUID, decision: Decision[Event], source_epoch: int) -> Description:
        """The event of `decision` as it is stored, and the response to `call`; both list as many of the order's
        movements as an event has room for.

        Raises RuleViolated when what the caller chose leaves too little room for what may happen later, and
        OrderTooLarge when the event could not be published.
        """
