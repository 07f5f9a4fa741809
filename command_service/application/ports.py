"""Declares what executing a command needs: storage implements the unit of work, wire the representation."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from command_service.application.command_call import CommandCall
from command_service.application.event_record import EventRecord
from command_service.domain.commands import OrderIdentity
from command_service.domain.decision import Decision
from command_service.domain.events import Event
from command_service.domain.order import Order


@dataclass(frozen=True, slots=True)
class FirstCall:
    """The request id belongs to this transaction until it ends.

    `now` is the database's clock, `source_epoch` the database's source epoch.
    """

    now: datetime
    source_epoch: int


@dataclass(frozen=True, slots=True)
class EarlierCall:
    """The request id was used before, with this fingerprint, and got this response."""

    fingerprint: bytes
    response: bytes


@dataclass(frozen=True, slots=True)
class Description:
    """An event's three JSON texts as the outbox stores them, and the serialised response to its command."""

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

    `now` is the database's clock, read after the lock was taken. It is later than the record of every earlier event.
    """

    order: Order
    head_hash: bytes
    now: datetime


@dataclass(frozen=True, slots=True)
class Recorded:
    """All that a command writes: the order before it (None: a new one) and after it, its event, the response."""

    before: Order | None
    after: Order
    event: EventRecord
    response: bytes


class UnitOfWork(Protocol):
    """One transaction over orders, outbox and command log. Without a commit nothing of it happens.

    It is a port, although storage alone implements it, because the application must not import storage.
    """

    async def claim(self, call: CommandCall, new_order: OrderIdentity | None) -> FirstCall | EarlierCall:
        """Claims (principal, request id), which makes commands safe to retry; waits while another transaction holds it.

        Raises RuleViolated if the id or number of `new_order`, which the call creates, names another order.
        """

    async def lock(self, order_id: UUID) -> StoredOrder | None:
        """Locks and returns the order; waits for transactions that hold the lock. None: there is no such order.

        Raises as `commit`.
        """

    async def commit(self, call: CommandCall, recorded: Recorded) -> None:
        """Writes order, event and response durably, or raises and nothing happened. A leaving caller does not end it.

        Raises RuleViolated for an id or number taken after the claim, Conflict when another transaction interfered, and
        ConnectionBroken; only in the last case the commit may have happened.
        """


class UnitsOfWork(Protocol):
    """Creates units of work."""

    def begin(self, deadline: float | None = None) -> AbstractAsyncContextManager[UnitOfWork]:
        """Begins a unit of work whose statements end soon after `deadline` (of `time.monotonic`).

        Raises Overloaded when there is no capacity, DependencyUnavailable when there is no database, TimedOut when the
        deadline has passed.
        """


class Representation(Protocol):
    """Translates orders and events for callers and consumers. Wire implements it, because it knows the contract."""

    def describe(self, call: CommandCall, event_id: UUID, decision: Decision[Event], source_epoch: int) -> Description:
        """Returns the event of `decision` as it is stored, and the response to `call`.

        Both list as many of the order's movements as fit into an event. Raises RuleViolated when the caller's choice
        leaves too little room for later events, and OrderTooLarge when the event could not be published.
        """
