"""Callers that never give up, and adversaries that make the database's timing awkward."""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import grpc
import psycopg
from tandem.orders.v1.order_command_service_pb2 import HoldOrderRequest, LabelOrderRequest, ReleaseOrderRequest
from tandem.orders.v1.order_query_service_pb2 import GetOrderRequest, ReadOptions
from tandem.orders.v1.order_types_pb2 import Order

from tests.fixtures.system import System
from tests.support.commands.orders import place_order_request
from tests.support.robustness.ledger import Ledger

Answer = TypeVar("Answer")
UNANSWERED = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
}
GIVE_UP_SECONDS = 200.0

# Every command gets its transaction id with its first statement. A random pause right after it makes the order of ids
# differ from that of positions. The block with an exception handler is a savepoint; half of them are rolled back.
ADVERSARY = """
CREATE TABLE adversary_scratch (note text);
CREATE FUNCTION adversary() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_current_xact_id();
  BEGIN
    INSERT INTO adversary_scratch VALUES ('savepoint');
    IF random() < 0.5 THEN RAISE EXCEPTION 'rolled back to the savepoint'; END IF;
  EXCEPTION WHEN raise_exception THEN NULL;
  END;
  PERFORM pg_sleep(random() * random() * 0.03);
  RETURN NEW;
END $$;
CREATE TRIGGER adversary BEFORE INSERT ON command_log FOR EACH ROW EXECUTE FUNCTION adversary();
"""


async def install_adversary(database_url: str) -> None:
    """Adds early transaction ids, savepoints and pauses to every command's transaction from now on."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(ADVERSARY)


@asynccontextmanager
async def held_transaction(database_url: str) -> AsyncIterator[None]:
    """Keeps a writing transaction open for seconds at a time, within the block."""

    async def hold() -> None:
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            while True:
                await connection.execute("INSERT INTO adversary_scratch VALUES ('held')")
                await asyncio.sleep(3)
                await connection.commit()

    task = asyncio.create_task(hold())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Traffic:
    """`writers` callers at once; each places orders, changes them and, if `reading`, reads them back."""

    def __init__(self, system: System, ledger: Ledger, seed: int, writers: int = 16, *, reading: bool = True) -> None:
        self._system, self._ledger, self._reading = system, ledger, reading
        self._seed, self._writers = seed, writers
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Traffic:
        self._tasks = [
            asyncio.create_task(self._write(random.Random(f"{self._seed}-{n}"))) for n in range(self._writers)
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def _write(self, source: random.Random) -> None:
        mine: list[Order] = []
        while not self._stop.is_set():
            choice = source.random()
            if not mine or choice < 0.25:
                mine.append(await self._place(source))
                continue
            index = source.randrange(len(mine))
            if choice < 0.75 or not self._reading:
                mine[index] = await self._change(source, mine[index])
            else:
                await self._read_back(mine[index])

    async def _place(self, source: random.Random) -> Order:
        request = place_order_request(source, lines=source.randrange(1, 4))
        answer = await self._until_answered(lambda: self._system.commands.PlaceOrder(request, timeout=30))
        self._ledger.acknowledge(answer.order, answer.consistency_token)
        return answer.order

    async def _change(self, source: random.Random, order: Order) -> Order:
        request_id = str(uuid.UUID(int=source.getrandbits(128), version=4))
        if order.on_hold:
            release = ReleaseOrderRequest(request_id=request_id, order_id=order.order_id)
            released = await self._until_answered(lambda: self._system.commands.ReleaseOrder(release, timeout=30))
            self._ledger.acknowledge(released.order, released.consistency_token)
            return released.order
        if source.random() < 0.3:
            label = LabelOrderRequest(request_id=request_id, order_id=order.order_id)
            label.set_labels[f"shelf-{source.randrange(4)}"] = request_id[:8]
            labelled = await self._until_answered(lambda: self._system.commands.LabelOrder(label, timeout=30))
            self._ledger.acknowledge(labelled.order, labelled.consistency_token)
            return labelled.order
        hold = HoldOrderRequest(request_id=request_id, order_id=order.order_id)
        held = await self._until_answered(lambda: self._system.commands.HoldOrder(hold, timeout=30))
        self._ledger.acknowledge(held.order, held.consistency_token)
        return held.order

    async def _read_back(self, order: Order) -> None:
        options = ReadOptions(consistency_token=self._ledger.tokens[order.order_id])
        request = GetOrderRequest(order_id=order.order_id, read_options=options)
        answer = await self._until_answered(lambda: self._system.queries.GetOrder(request, timeout=30), "query-serve")
        if answer.order.version < order.version:
            self._ledger.stale_reads.append(order.order_id)

    async def _until_answered(self, call: Callable[[], Awaitable[Answer]], process: str = "command") -> Answer:
        """Repeats the same request until it is answered; a failure that leaves the outcome open is no answer."""
        deadline = asyncio.get_running_loop().time() + GIVE_UP_SECONDS
        while True:
            self._ledger.in_flight[process] += 1
            try:
                return await call()
            except grpc.aio.AioRpcError as error:
                self._ledger.errors[error.code().name] += 1
                if error.code() not in UNANSWERED or asyncio.get_running_loop().time() > deadline:
                    raise
                self._ledger.retried += 1
            finally:
                self._ledger.in_flight[process] -= 1
            await asyncio.sleep(0.05)
