"""The command application over a real database, without gRPC: what its tests call, break and hold."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from command_service.application.change_order import ChangeOrderUseCase
from command_service.application.command_call import CommandCall, CommandResult
from command_service.application.execution import Execution
from command_service.application.import_order import ImportOrderUseCase
from command_service.application.place_order import PlaceOrderUseCase
from command_service.application.ports import FirstCall, UnitOfWork, UnitsOfWork
from command_service.application.recording import Recorder
from command_service.bootstrap import random_identity
from command_service.domain.commands import ImportOrder, NewLine, OrderChange, PlaceOrder
from command_service.domain.decisions import decide_new
from command_service.domain.money import Money
from command_service.domain.order import Order
from command_service.domain.parties import Address, Customer
from command_service.storage.connections import ANSWER_SECONDS, CommandPool, command_pool
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


@dataclass
class Application:
    """Use case, execution and units of work over one pool."""

    units: UnitsOfWork
    pool: CommandPool
    max_event_bytes: int = MAX_EVENT_BYTES
    execution: Execution = field(init=False)

    def __post_init__(self) -> None:
        self.execution = Execution(self.units)
        self.recorder = Recorder(ContractRepresentation(self.max_event_bytes), random_identity)
        self._place_order = PlaceOrderUseCase(self.execution, self.recorder)
        self._change_order = ChangeOrderUseCase(self.execution, self.recorder)
        self._import_order = ImportOrderUseCase(self.execution, self.recorder)

    async def place(self, asked: CommandCall, command: PlaceOrder) -> CommandResult:
        """PlaceOrder as the service does it."""
        return await self._place_order.handle(asked, command)

    async def change(self, asked: CommandCall, command: OrderChange) -> CommandResult:
        """Any command on an order as the service does it."""
        return await self._change_order.handle(asked, command)

    async def import_(self, asked: CommandCall, command: ImportOrder) -> CommandResult:
        """One item of ImportOrders as the service does it."""
        return await self._import_order.handle(asked, command)

    async def stored(self, order_id: UUID) -> Order:
        """The order as its tables have it."""
        async with self.units.begin() as unit:
            found = await unit.orders.lock(order_id)
        assert found is not None
        return found.order

    async def place_through(self, gate: Gate, asked: CommandCall, command: PlaceOrder) -> CommandResult:
        """PlaceOrder that passes `gate` after everything is queued and before the commit."""

        async def work(unit: UnitOfWork, claimed: FirstCall) -> bytes:
            recorded = self.recorder.record(asked, claimed, None, decide_new(command, claimed.now))
            unit.orders.add(recorded.after, recorded.event)
            unit.outbox.append(recorded.event)
            await gate(unit)
            return recorded.response

        return await self.execution.run(asked, work)


@asynccontextmanager
async def opened_pool(
    url: str, *, size: int = 4, max_waiting: int = 100, statement_seconds: float = 120.0
) -> AsyncIterator[CommandPool]:
    """A pool as the service opens it."""
    async with command_pool(url, size=size, max_waiting=max_waiting, statement_seconds=statement_seconds) as pool:
        await pool.wait(120)
        # A loaded machine is slow; that callers are refused who wait too long for a connection is seen elsewhere.
        pool.timeout = 120.0
        yield pool


@asynccontextmanager
async def application(
    url: str, listener: StatementListener | None = None, answer_seconds: float = ANSWER_SECONDS
) -> AsyncIterator[Application]:
    """The application over the database at `url`."""
    async with opened_pool(url) as pool:
        yield Application(PostgresUnitsOfWork(pool, listener=listener, answer_seconds=answer_seconds), pool)
