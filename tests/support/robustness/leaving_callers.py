"""Callers that leave at any moment, over connections that break at any byte, and the answers that they got."""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from tandem.orders.v1 import order_command_service_pb2 as contract
from tandem.orders.v1.order_command_service_pb2_grpc import OrderCommandServiceStub

from command_service.storage.connection.connections import APPLICATION_NAME
from tests.fixtures.command_process import CommandProcess
from tests.fixtures.write_model import execute
from tests.support.chance import tell
from tests.support.commands.imports import import_request
from tests.support.commands.journal import journal_faults
from tests.support.commands.orders import money, place_order_request
from tests.support.faults.rough_way import RoughWay

CALLERS, STREAMS_AT_ONCE, ITEMS = 24, 3, 1_500
#: One chunk in this many breaks its connection.
PIECES_PER_CUT = 400
#: Makes faults of connections visible: each connection is checked when it is lent, a statement that the server does not
#: know is not retried, and housekeeping uses connections all the time. The driver yields to the event loop at each
#: step, as it does by itself when the loop was busy, so a call can be abandoned anywhere.
CHANGES = """
import psycopg.waiting
from command_service.storage import database_errors, housekeeping
from command_service.storage.connection.connections import CommandPool

psycopg.waiting.MAX_BUSY_TIME = 0.0
database_errors._OUT_OF_STEP = ()
housekeeping.PERIOD_SECONDS = 0.02
getconn = CommandPool.getconn

async def looked_at(self, timeout=None):
    connection = await getconn(self, timeout)
    if not connection.closed:
        assert connection.idle and connection._pipeline is None and not connection.lock.locked(), repr(connection)
    return connection

CommandPool.getconn = looked_at
"""
POOL_SIZE = 6
#: Codes that leave open whether a command was done; it is sent again.
OPEN = {"DEADLINE_EXCEEDED", "CANCELLED", "UNAVAILABLE", "RESOURCE_EXHAUSTED", "ABORTED"}
#: Seconds after which a call gives up by itself, if its caller waits.
PATIENCE_SECONDS = 200.0
#: States of the service's connections.
SESSIONS = (
    "SELECT count(*) FROM pg_stat_activity"
    f" WHERE datname = current_database() AND application_name LIKE '{APPLICATION_NAME}%'"
)
Request = Any


class LeavingCallers:
    """Makes `calls` calls and imports, and collects faults; stops early once there is one."""

    def __init__(self, process: CommandProcess, seed: int, calls: int, streams: int) -> None:
        self._process, self._seed = process, seed
        self._calls, self._streams = calls, streams
        self._calls_left = calls
        #: Number of calls that ended while import streams ran.
        self.beside = 0
        self.ends: Counter[str] = Counter()
        self.items: Counter[str] = Counter()
        self.faults: list[str] = []
        #: Orders that an answer named; orders that calls placed; orders that streams were sent.
        self.acknowledged: set[str] = set()
        self.placed: set[str] = set()
        self.sent: set[str] = set()

    async def run(self) -> None:
        """Runs all calls and streams to their end."""
        async with contextlib.AsyncExitStack() as stack:
            stubs = [await stack.enter_async_context(self._channel(number)) for number in range(4)]
            callers = [self._call(stubs[n % 4], random.Random(f"{self._seed}-{n}")) for n in range(CALLERS)]
            await asyncio.gather(self._imports(), *callers)

    async def _imports(self) -> None:
        """Runs the streams, a few at a time, spread over the whole run of calls."""
        for first in range(0, self._streams, STREAMS_AT_ONCE):
            due = self._calls * (1 - (first + 1) / (self._streams + 1))
            while self._calls_left > due and not self.faults:
                await asyncio.sleep(0.01)
            before = self.ends.total()
            numbers = range(first, min(first + STREAMS_AT_ONCE, self._streams))
            sources = (random.Random(f"{self._seed}-s{number}") for number in numbers)
            await asyncio.gather(*(asyncio.to_thread(self._import, source) for source in sources))
            self.beside += self.ends.total() - before

    @asynccontextmanager
    async def _channel(self, number: int) -> AsyncIterator[Any]:
        options = [("grpc.use_local_subchannel_pool", 1), ("tandem.number", number)]
        async with grpc.aio.insecure_channel(self._process.address, options=options) as channel:
            yield OrderCommandServiceStub(channel)

    async def _call(self, stub: Any, source: random.Random) -> None:
        while self._calls_left > 0 and not self.faults:
            order = place_order_request(source, lines=1)
            placed = await self._until_answered(stub.PlaceOrder, order, source)
            if placed is None:
                continue
            self.placed.add(order.order_id)
            self._told(placed.order.order_id == order.order_id, "PlaceOrder answers with another order")
            reference = str(uuid.UUID(int=source.getrandbits(128), version=4))
            payment = contract.RecordPaymentRequest(
                request_id=str(uuid.UUID(int=source.getrandbits(128), version=4)),
                order_id=order.order_id,
                amount=money(source.randrange(1, 100), order.freight.currency_code),
                method="card",
                reference=reference,
            )
            paid = await self._until_answered(stub.RecordPayment, payment, source)
            if paid is not None:
                mine = paid.events[0].order_paid.payment.reference == reference
                self._told(mine and paid.order.order_id == order.order_id, "RecordPayment answers with another payment")

    def _told(self, own: bool, otherwise: str) -> None:
        if not own:
            self.faults.append(otherwise)

    async def _until_answered(self, call: Any, request: Request, source: random.Random) -> Any:
        """Returns the answer after any number of tries, most with short deadlines; None after a fault or refusal."""
        for attempt in range(1_000):
            if self.faults:
                return None
            self._count_down()
            pending = call(request, timeout=_deadline(source) if attempt < 4 else PATIENCE_SECONDS)
            if attempt < 4 and source.random() < 0.2:
                asyncio.get_running_loop().call_later(source.uniform(0, 0.05), pending.cancel)
            try:
                answer = await pending
            except asyncio.CancelledError:
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    raise
                self.ends["CANCELLED"] += 1
            except grpc.aio.AioRpcError as error:
                self.ends[error.code().name] += 1
                if error.code().name not in OPEN:
                    self.faults.append(f"{error.code().name}: {error.details()}")
                    return None
                if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED):
                    await asyncio.sleep(0.05)
            else:
                self.ends["OK"] += 1
                return answer
        self.faults.append("a call was not answered in a thousand tries")
        return None

    def _count_down(self) -> None:
        self._calls_left -= 1
        if self._calls_left % 2_000 == 0:
            imported = f"{self.items.total()} items"
            tell(f"{self._calls_left} calls left; {dict(self.ends)}, {imported}")

    def _import(self, source: random.Random) -> None:
        """Runs one stream by the blocking client, which always reports the service's own status."""
        if self.faults:
            return
        requests = [import_request(source) for _ in range(source.randrange(1, ITEMS))]
        self.sent.update(request.order_id for request in requests)
        leaving = 10 ** source.uniform(0.0, 4.0)
        answered = 0
        try:
            with grpc.insecure_channel(self._process.address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
                importing = OrderCommandServiceStub(channel).ImportOrders
                stream = importing(iter(requests), timeout=source.uniform(0.05, 3.0))
                for answered, result in enumerate(stream, start=1):
                    self._imported(requests[answered - 1], result)
                    if answered >= leaving:
                        stream.cancel()
        except grpc.RpcError as error:
            self._stream_ended(error)
        else:
            self._told(answered == len(requests), "a stream ended before all of it was answered")

    def _imported(self, request: contract.ImportOrdersRequest, result: contract.ImportOrdersResponse) -> None:
        self._told(result.request_id == request.request_id, "ImportOrders answers another request")
        if result.status:
            self.items["refused"] += 1
            self.faults.append("an item was refused")
            return
        self.items["imported"] += 1
        self._told(result.order_id == request.order_id, "ImportOrders answers with another order")
        self.acknowledged.add(result.order_id)

    def _stream_ended(self, error: grpc.RpcError) -> None:
        assert isinstance(error, grpc.Call)
        code = error.code().name
        self.items[code] += 1
        if code not in OPEN:
            self.faults.append(f"a stream ended with {code}: {error.details()}")


def _deadline(source: random.Random) -> float:
    """Returns a deadline that mostly passes in the middle of the work, whatever this machine's speed."""
    return 10 ** source.uniform(-3.3, 0.3)


async def process_faults(process: CommandProcess) -> list[str]:
    """Returns the faults that the service's log shows."""
    faults = [] if process.running else [f"the process has ended: {process.log[-3:]}"]
    if len(process.events("listening")) != 1:
        faults.append("the process was started again")
    for event in ("incident", "side task failed", "process failed"):
        faults += [f"{event}: {entry}" for entry in process.events(event)[:3]]
    return faults + [line for line in process.log if "error ignored" in line][:3]


async def book_faults(url: str, callers: LeavingCallers) -> list[str]:
    """Returns every difference of write model and journal from what callers were told.

    The process has ended, but the server may still work on its last statements.
    """
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await execute(url, SESSIONS) != [(0,)]:
            await asyncio.sleep(0.01)
    stored = {str(order_id) for (order_id,) in await execute(url, "SELECT order_id FROM orders")}
    journal = {str(order_id) for (order_id,) in await execute(url, "SELECT DISTINCT aggregate_id FROM outbox")}
    faults = await journal_faults(url)
    if stored != journal:
        faults.append(f"{len(stored ^ journal)} orders stand in the tables or in the journal alone")
    if missing := (callers.placed | callers.acknowledged) - stored:
        faults.append(f"{len(missing)} acknowledged orders are missing")
    if foreign := stored - callers.placed - callers.sent:
        faults.append(f"{len(foreign)} orders that nobody was told of")
    return faults


@asynccontextmanager
async def rough_service(way: RoughWay, url: str, changes: str = "") -> AsyncIterator[CommandProcess]:
    """Runs the service behind a proxy that breaks now and then."""
    process = CommandProcess({"COMMAND_DATABASE_URL": url, "COMMAND_POOL_SIZE": str(POOL_SIZE)}, CHANGES + changes)
    await process.serve()
    try:
        with _rough(way):
            yield process
    finally:
        await process.kill()


@contextlib.contextmanager
def _rough(way: RoughWay) -> Iterator[None]:
    way.cut = 1 / PIECES_PER_CUT
    try:
        yield
    finally:
        way.cut = 0.0
