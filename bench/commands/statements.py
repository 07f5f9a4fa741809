"""Records the SQL statements of commands, and sends them by psycopg without the service.

The difference to a call of the service is what gRPC, the domain and the messages cost.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tandem.orders.v1.order_command_service_pb2 import PlaceOrderRequest, RecordPaymentRequest, ShipOrderRequest

from bench.harness.rounds import Figures
from command_service.application.command_call import CommandCall
from command_service.application.execution import Execution
from command_service.application.recording import Recorder
from command_service.bootstrap import random_identity
from command_service.storage.command_log import CLAIM_FOR_NEW
from command_service.storage.connection.command_connection import CommandConnection
from command_service.storage.connection.connections import CommandPool, command_pool
from command_service.storage.connection.message_writer import Message, MessageWriter
from command_service.storage.stored_orders import LOAD
from command_service.storage.transaction import BEGIN, COMMIT, Transaction
from command_service.storage.unit_of_work import PostgresUnitsOfWork
from command_service.wire import commands
from command_service.wire.representation import ContractRepresentation

Statement = tuple[str, Any]
#: The statements of one command, grouped by round trip.
Trips = list[list[Statement]]
#: Sends the statements of commands to the database at a URL. The number is how many commands run at the same time.
SendAll = Callable[[str, Sequence[Trips], int], Awaitable[Figures]]
#: The statements that end a round trip.
_ENDS = (CLAIM_FOR_NEW, LOAD, COMMIT)
POOL_SIZE = 16


@dataclass(frozen=True, slots=True)
class Recorded:
    """The statements that place orders, those that record one payment for each order, and those that ship it."""

    places: list[Trips]
    payments: list[Trips]
    shipments: list[Trips]


@contextlib.asynccontextmanager
async def recording_pool(url: str) -> AsyncIterator[tuple[CommandPool, list[Statement]]]:
    """Yields a pool of one connection, and a list that collects every statement sent over it."""
    sent: list[Statement] = []

    class RecordingWriter(MessageWriter):
        def of(self, statement: Statement) -> Message:
            sent.append(statement)
            return super().of(statement)

    class Recording(CommandConnection):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.writer = RecordingWriter(self)

    pool = command_pool(url, size=1, max_waiting=1, statement_seconds=30.0)
    pool.connection_class = Recording
    async with pool:
        await pool.wait()
        yield pool, sent


async def record(
    url: str, requests: Sequence[PlaceOrderRequest], pay: Sequence[bytes], ship: Sequence[bytes] = ()
) -> Recorded:
    """Executes the commands in the database at `url`, one after the other, and returns their statements."""
    async with recording_pool(url) as (pool, sent):
        recorder = Recorder(ContractRepresentation(900_000), random_identity)
        execution = Execution(PostgresUnitsOfWork(pool), recorder)

        def call(request: Any) -> CommandCall:
            deadline = time.monotonic() + 20.0
            return CommandCall("anonymous", UUID(request.request_id), commands.fingerprint(request), deadline=deadline)

        async def recorded(command: str, request: Any) -> Trips:
            asked = call(request)
            await execution.execute(asked, commands.COMMANDS[command](request, asked.derived_id))
            return _trips(sent)

        return Recorded(
            [await recorded("PlaceOrder", request) for request in requests],
            [await recorded("RecordPayment", RecordPaymentRequest.FromString(text)) for text in pay],
            [await recorded("ShipOrder", ShipOrderRequest.FromString(text)) for text in ship],
        )


def _trips(sent: list[Statement]) -> Trips:
    trips: Trips = [[]]
    for statement in sent:
        trips[-1].append(statement)
        if statement[0] in _ENDS:
            trips.append([])
    sent.clear()
    return [trip for trip in trips if trip]


async def by_psycopg(url: str, work: Sequence[Trips], callers: int) -> Figures:
    """Sends the statements by `callers` tasks, in the same round trips and over a pool like the service's.

    Returns the time and the client's CPU time per command in µs.
    """

    async def send(pool: CommandPool, trips: Trips) -> None:
        connection = await pool.getconn()
        connection.prepare_threshold = 5  # psycopg's default; the service's connections prepare in their own way
        for trip in trips:
            async with connection.pipeline():
                cursors = [await connection.execute(query, params or None) for query, params in trip]
            if trip[-1][0] != COMMIT:
                await cursors[-1].fetchone()
        await pool.putconn(connection)

    return await _timed(url, work, callers, send)


async def by_transactions(url: str, work: Sequence[Trips], callers: int) -> Figures:
    """Does the same as `by_psycopg`, but by the service's `Transaction`, which avoids most of the driver's work."""

    async def send(pool: CommandPool, trips: Trips) -> None:
        async with pool.conversation() as conversation:
            transaction = Transaction(conversation)
            for trip in trips:
                statements = [(query, params or ()) for query, params in trip if query not in (BEGIN, COMMIT)]
                step = transaction.commit if trip[-1][0] == COMMIT else transaction.fetch
                await step(*statements)

    return await _timed(url, work, callers, send)


async def _timed(
    url: str, work: Sequence[Trips], callers: int, send: Callable[[CommandPool, Trips], Awaitable[None]]
) -> Figures:
    left = iter(work)
    async with command_pool(url, size=POOL_SIZE, max_waiting=callers, statement_seconds=30.0) as pool:
        await pool.wait()

        async def caller() -> None:
            for trips in left:
                await send(pool, trips)

        started, worked = time.perf_counter(), time.process_time()
        await asyncio.gather(*(caller() for _ in range(callers)))
        elapsed, worked = time.perf_counter() - started, time.process_time() - worked
        return {"us_per_call": 1e6 * elapsed / len(work), "client_cpu_us": 1e6 * worked / len(work)}
