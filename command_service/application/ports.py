"""Declares what the execution of a command needs. Storage implements the unit of work, wire the representation."""

from __future__ import annotations

from collections.abc import Sequence
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
    """The answer to a claim: no call has used the request id, and this transaction now holds it.

    `now` is the time of the database's clock. `source_epoch` is the number of the database's history.
    """

    now: datetime
    source_epoch: int


@dataclass(frozen=True, slots=True)
class EarlierCall:
    """The answer to a claim: an earlier call used the request id. Its fingerprint, and the response that it got."""

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
        """Bytes of the event: of its three texts together, in UTF-8."""
        return sum(len(text.encode()) for text in (self.payload, self.personal, self.headers))


@dataclass(frozen=True, slots=True)
class StoredOrder:
    """An order that is locked until the transaction ends, and the hash of its newest event.

    `now` is the time of the database's clock, read after the lock was taken, and at least one microsecond later than
    the time at which the order's newest event was recorded.
    """

    order: Order
    head_hash: bytes
    now: datetime


@dataclass(frozen=True, slots=True)
class Recorded:
    """All that a command writes: the order before (None: a new order) and after it, its event, and its response."""

    before: Order | None
    after: Order
    event: EventRecord
    response: bytes
    #: The event erased the order's personal data. This response replaces all earlier ones that show the order.
    replacement: bytes | None = None


@dataclass(frozen=True, slots=True)
class Unchanged:
    """All that a command writes which leaves the order as it was: its response. There is no event and no version.

    `shows` is the order in the response; None: it shows no order.
    """

    response: bytes
    shows: UUID | None


@dataclass(frozen=True, slots=True)
class ErasureProgress:
    """How far the erasure of a customer's data is: numbers of orders, and ids of some of them.

    `next` are orders that remain, in id order. `latest` are orders that are redacted, the last one first.
    """

    redacted: int
    remaining: int
    next: Sequence[UUID]
    latest: Sequence[UUID]


class UnitOfWork(Protocol):
    """One transaction over orders, outbox and command log. Without `commit` it changes nothing.

    It is a port, although storage alone implements it, because the application must not import storage.
    """

    async def claim(self, call: CommandCall, new_order: OrderIdentity | None) -> FirstCall | EarlierCall:
        """Claims (principal, request id), so that a retry does not execute the command again.

        Waits while another transaction holds the same claim. `new_order` identifies the order that the command creates;
        None: it creates none. Raises RuleViolated if another order has the id or number of `new_order`, or if the data
        of its customer was erased, and otherwise as `commit`. The customer's data is not erased before `commit`.
        """

    async def claim_and_lock(
        self, call: CommandCall, order_id: UUID
    ) -> tuple[FirstCall, StoredOrder | None] | EarlierCall:
        """Claims as `claim` does, then locks and reads the order, after waiting for transactions that hold the lock.

        The order is None if it does not exist. Raises Conflict, TimedOut and ConnectionBroken.
        """

    async def commit(self, call: CommandCall, recorded: Recorded | Unchanged) -> None:
        """Writes order, event and response durably; for an unchanged order only the response.

        If the event erased personal data, it is also erased from the order's earlier events and stored responses.

        Cancelling the caller does not stop it.

        Raises RuleViolated for an id or number that was taken after the claim, Conflict when another transaction
        interfered, TimedOut when a statement reached its time limit, and ConnectionBroken. Only after ConnectionBroken
        may the commit have happened.
        """


class UnitsOfWork(Protocol):
    """Creates units of work."""

    def begin(self, deadline: float | None = None) -> AbstractAsyncContextManager[UnitOfWork]:
        """Begins a unit of work whose statements end soon after `deadline`, a time of `time.monotonic`.

        Without a deadline only the service's limit per statement applies. Raises Overloaded when there is no free
        capacity, DependencyUnavailable when the database is down, TimedOut when the deadline has passed.
        """


class ErasingUnitOfWork(UnitOfWork, Protocol):
    """A unit of work that also sees all orders of a customer."""

    async def mark_redacted(self, customer_id: str) -> bool:
        """Marks the customer durably, after waiting for transactions that create orders of theirs.

        From then on no order of theirs is created. Returns False if there is no such customer. Raises as `commit`.
        """

    async def erasure_progress(self, customer_id: str, most: int) -> ErasureProgress:
        """Counts the customer's orders, and names at most `most` of each kind."""

    async def responses(self, principal: str, request_ids: Sequence[UUID]) -> Sequence[bytes]:
        """Returns the stored responses to those of the principal's requests that were carried out."""


class ErasingUnitsOfWork(Protocol):
    """Creates units of work that see all orders of a customer."""

    def begin(self, deadline: float | None = None) -> AbstractAsyncContextManager[ErasingUnitOfWork]:
        """Begins a unit of work, as `UnitsOfWork.begin` does."""


class Representation(Protocol):
    """Translates orders and events into the contract's messages, for callers and consumers. Wire implements it."""

    def describe(self, call: CommandCall, event_id: UUID, decision: Decision[Event], source_epoch: int) -> Description:
        """Returns the event of `decision` as it is stored, and the response to `call`.

        Both list as many of the order's newest movements (payments, shipments, returns, refunds) as fit into an event.
        Raises RuleViolated when the lines and addresses that the caller chose leave too little room for later events,
        and OrderTooLarge when the event is too large to be published.
        """

    def describe_unchanged(self, order: Order, source_epoch: int) -> bytes:
        """Returns the response to a command that leaves `order` as it was. It names no event."""

    def describe_erasure(self, progress: ErasureProgress, redactions: Sequence[bytes], source_epoch: int) -> bytes:
        """Returns the response to RedactCustomer. `redactions` are the responses to its RedactOrder; at most 64."""
