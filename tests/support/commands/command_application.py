"""The command application over a real database, without gRPC, with gates that tests can close."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from uuid import UUID, uuid4

from tandem.orders.v1.order_command_service_pb2 import RedactCustomerResponse

from command_service.application.command_call import CommandCall, CommandResult
from command_service.application.execution import Execution
from command_service.application.ports import (
    EarlierCall,
    ErasingUnitsOfWork,
    FirstCall,
    Recorded,
    StoredOrder,
    Unchanged,
    UnitOfWork,
    UnitsOfWork,
)
from command_service.application.recording import Recorder
from command_service.application.redact_customer import RedactCustomer
from command_service.bootstrap import random_identity
from command_service.domain.commands import ImportOrder, NewLine, OrderChange, OrderIdentity, PlaceOrder
from command_service.domain.money import Money
from command_service.domain.order import Order
from command_service.domain.parties import Address, Customer
from command_service.storage.connection.connections import ANSWER_SECONDS, CommandPool, command_pool
from command_service.storage.transaction import StatementListener
from command_service.storage.unit_of_work import PostgresUnitsOfWork
from command_service.wire.representation import ContractRepresentation

MAX_EVENT_BYTES = 900_000
Gate = Callable[[UnitOfWork], Awaitable[None]]


def call(principal: str = "shop", request_id: UUID | None = None, fingerprint: bytes = b"f") -> CommandCall:
    return CommandCall(principal, request_id or uuid4(), fingerprint, "test")


def place_order(order_id: UUID | None = None, **changes: object) -> PlaceOrder:
    fields: dict[str, object] = {
        "order_id": order_id or uuid4(),
        "customer": Customer("C1", "Ann", "ann@example.org", "1"),
        "shipping_address": Address("DE", locality="Köln", address_lines=("Ring 1", 'Hof "B", {2}\\')),
        "lines": (
            NewLine("CHAI", "Chai", Money("EUR", 1_99), 3, 500, 1_900),
            NewLine("TOFU", "Tofu", Money("EUR", 10_00), 1),
        ),
        "freight": Money("EUR", 4_95),
        "source": "web",
        **changes,
    }
    return PlaceOrder(**fields)  # type: ignore[arg-type]


@dataclass(frozen=True)
class GatedUnit:
    """A unit of work that looks for other ids when it claims, and waits at a gate before its commit."""

    unit: UnitOfWork
    gate: Gate

    async def claim(self, call: CommandCall, new_order: OrderIdentity | None) -> FirstCall | EarlierCall:
        """Claims with other ids than the new order's, so that only the insert finds taken ones."""
        other = None if new_order is None else replace(new_order, order_id=uuid4(), order_number=str(uuid4()))
        return await self.unit.claim(call, other)

    async def claim_and_lock(
        self, call: CommandCall, order_id: UUID
    ) -> tuple[FirstCall, StoredOrder | None] | EarlierCall:
        """Claims and locks as the unit does."""
        return await self.unit.claim_and_lock(call, order_id)

    async def commit(self, call: CommandCall, recorded: Recorded | Unchanged) -> None:
        """Commits after the gate opens."""
        await self.gate(self.unit)
        await self.unit.commit(call, recorded)


@dataclass(frozen=True)
class GatedUnits:
    """Gated units of work."""

    units: UnitsOfWork
    gate: Gate

    @asynccontextmanager
    async def begin(self, deadline: float | None = None) -> AsyncIterator[UnitOfWork]:
        """Begins a gated unit of work."""
        async with self.units.begin(deadline) as unit:
            yield GatedUnit(unit, self.gate)


@dataclass
class Application:
    """Execution and units of work over one pool."""

    units: ErasingUnitsOfWork
    pool: CommandPool
    max_event_bytes: int = MAX_EVENT_BYTES
    execution: Execution = field(init=False)

    def __post_init__(self) -> None:
        representation = ContractRepresentation(self.max_event_bytes)
        self.recorder = Recorder(representation, random_identity)
        self.execution = Execution(self.units, self.recorder)
        self.redact_customer = RedactCustomer(self.units, self.execution, representation)

    async def place(self, asked: CommandCall, command: PlaceOrder) -> CommandResult:
        """Carries out PlaceOrder as the service does."""
        return await self.execution.execute(asked, command)

    async def change(self, asked: CommandCall, command: OrderChange) -> CommandResult:
        """Carries out any command on an order as the service does."""
        return await self.execution.execute(asked, command)

    async def import_(self, asked: CommandCall, command: ImportOrder) -> CommandResult:
        """Carries out one item of ImportOrders as the service does."""
        return await self.execution.execute(asked, command)

    async def redact(self, asked: CommandCall, customer_id: str) -> RedactCustomerResponse:
        """Carries out RedactCustomer as the service does, and returns the response."""
        return RedactCustomerResponse.FromString((await self.redact_customer.redact(asked, customer_id)).response)

    async def stored(self, order_id: UUID) -> Order:
        """Returns the order as stored in its tables."""
        async with self.units.begin() as unit:
            found = await unit.claim_and_lock(call(), order_id)
        assert not isinstance(found, EarlierCall)
        _, stored = found
        assert stored is not None
        return stored.order

    async def place_through(self, gate: Gate, asked: CommandCall, command: PlaceOrder) -> CommandResult:
        """Carries out PlaceOrder, which waits at `gate` after the decision and before the commit."""
        return await Execution(GatedUnits(self.units, gate), self.recorder).execute(asked, command)


@asynccontextmanager
async def opened_pool(
    url: str, *, size: int = 4, max_waiting: int = 100, statement_seconds: float = 120.0
) -> AsyncIterator[CommandPool]:
    """Opens a pool as the service does."""
    async with command_pool(url, size=size, max_waiting=max_waiting, statement_seconds=statement_seconds) as pool:
        await pool.wait(120)
        # A loaded machine is slow. Other tests cover callers that wait too long for a connection.
        pool.timeout = 120.0
        yield pool


@asynccontextmanager
async def application(
    url: str, listener: StatementListener | None = None, answer_seconds: float = ANSWER_SECONDS
) -> AsyncIterator[Application]:
    """Yields the application over the database at `url`."""
    async with opened_pool(url) as pool:
        yield Application(PostgresUnitsOfWork(pool, listener=listener, answer_seconds=answer_seconds), pool)
