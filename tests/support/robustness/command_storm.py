"""Runs many callers on few orders while service, connections and database are killed; then checks the books."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import uuid
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
from tandem.orders.client import COMMANDS, channel_options
from tandem.orders.errors import RuleViolated
from tandem.orders.retry import AsyncCall, RetryPolicy, repeat_async
from tandem.orders.v1 import order_command_service_pb2 as contract
from tandem.orders.v1.order_command_service_pb2_grpc import OrderCommandServiceStub

from devstack.servers import PostgresServer
from devstack.servers.ports import HOST, free_port
from tests.fixtures.command_process import CommandProcess
from tests.fixtures.write_model import execute
from tests.support.chance import tell
from tests.support.commands.commit_cutter import Cutter
from tests.support.commands.orders import money, place_order_request
from tests.support.waiting import eventually

if TYPE_CHECKING:  # the stubs' asynchronous flavour exists for the type checker only
    from tandem.orders.v1.order_command_service_pb2_grpc import OrderCommandServiceAsyncStub

Request = TypeVar("Request")
Response = TypeVar("Response")
CALLERS, ORDERS = 64, 4
POLICY = RetryPolicy(give_up_after=240.0, try_timeout=10.0)


@dataclass
class Books:
    """What one order's callers were told: the amount of each movement in cents, and each version once."""

    paid: dict[str, int] = field(default_factory=dict)
    refunded: dict[str, int] = field(default_factory=dict)
    versions: Counter[int] = field(default_factory=Counter)


class Storm:
    """Two replicas of the service, one cutter between them and one Postgres, and callers that never give up."""

    def __init__(self, server: PostgresServer, cutter: Cutter, url: str, seed: int) -> None:
        self._server, self._cutter = server, cutter
        self._source = random.Random(seed)
        self._addresses = [f"{HOST}:{free_port()}" for _ in range(2)]
        self._replicas = [
            CommandProcess({"COMMAND_DATABASE_URL": url, "COMMAND_LISTEN": address}) for address in self._addresses
        ]
        self.books: defaultdict[str, Books] = defaultdict(Books)
        self.acknowledged = self.refused = 0
        self.tries: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self._stop = asyncio.Event()

    @contextlib.asynccontextmanager
    async def blowing(self) -> AsyncIterator[None]:
        """Runs callers within the block; at its end each has the answer to its last command."""
        async with contextlib.AsyncExitStack() as stack:
            for replica in self._replicas:
                await replica.serve()
                stack.push_async_callback(replica.kill)
            target = "ipv4:" + ",".join(self._addresses)
            channels = [
                await stack.enter_async_context(grpc.aio.insecure_channel(target, options=options(n))) for n in range(8)
            ]
            stubs = [OrderCommandServiceStub(channel) for channel in channels]
            order_ids = [await self._place(stubs[0]) for _ in range(ORDERS)]
            callers = [
                asyncio.create_task(self._call(stubs[n % 8], order_ids, random.Random(self._source.random())))
                for n in range(CALLERS)
            ]
            try:
                yield
            finally:
                self._stop.set()
                await asyncio.gather(*callers)

    async def _place(self, stub: OrderCommandServiceAsyncStub) -> str:
        request = place_order_request(self._source, lines=1)
        request.lines[0].unit_price.CopyFrom(money(1, "EUR"))
        request.lines[0].quantity, request.lines[0].discount_basis_points = 1, 0
        request.freight.CopyFrom(money(0, "EUR"))
        placed = await self._counted(stub.PlaceOrder, request, None)
        self.books[placed.order.order_id].versions[placed.version] += 1
        return str(placed.order.order_id)

    async def _call(self, stub: OrderCommandServiceAsyncStub, order_ids: list[str], source: random.Random) -> None:
        while not self._stop.is_set():
            order_id, choice = source.choice(order_ids), source.random()
            request_id = str(uuid.UUID(int=source.getrandbits(128), version=4))
            cents = source.randrange(1, 100)
            # Some first tries end by their own short deadline, at any point of the work.
            hurry = source.uniform(0.005, 0.3) if source.random() < 0.2 else None
            books = self.books[order_id]
            try:
                if choice < 0.7:
                    payment = contract.RecordPaymentRequest(
                        request_id=request_id, order_id=order_id, amount=money(cents, "EUR"), method="card"
                    )
                    paid = await self._counted(stub.RecordPayment, payment, hurry)
                    books.paid[paid.events[0].order_paid.payment.payment_id] = cents
                    books.versions[paid.version] += 1
                elif choice < 0.9:
                    refund = contract.RefundOrderRequest(
                        request_id=request_id, order_id=order_id, amount=money(cents, "EUR"), refund_id=request_id
                    )
                    refunded = await self._counted(stub.RefundOrder, refund, hurry)
                    books.refunded[request_id] = cents
                    books.versions[refunded.version] += 1
                elif choice < 0.94:
                    label = contract.LabelOrderRequest(request_id=request_id, order_id=order_id)
                    label.set_labels["shelf"] = request_id[:8]
                    books.versions[(await self._counted(stub.LabelOrder, label, hurry)).version] += 1
                elif choice < 0.97:
                    hold = contract.HoldOrderRequest(request_id=request_id, order_id=order_id)
                    books.versions[(await self._counted(stub.HoldOrder, hold, hurry)).version] += 1
                else:
                    release = contract.ReleaseOrderRequest(request_id=request_id, order_id=order_id)
                    books.versions[(await self._counted(stub.ReleaseOrder, release, hurry)).version] += 1
            except RuleViolated:
                self.refused += 1
            else:
                self.acknowledged += 1

    async def _counted(self, call: AsyncCall[Request, Response], request: Request, hurry: float | None) -> Response:
        """Counts how each try of `call` ends, and repeats it as callers do; `hurry`: seconds of the first try."""
        first = hurry

        async def counted(sent: Request, *, timeout: float | None = None) -> Response:
            nonlocal first
            within, first = first or timeout, None
            pending: Any = call(sent, timeout=within)
            try:
                answer: Response = await pending
            except grpc.aio.AioRpcError as error:
                self.tries[error.code().name] += 1
                raise
            replayed = ("tandem-replayed", "true") in tuple(await pending.trailing_metadata() or ())
            self.tries["replayed" if replayed else "OK"] += 1
            return answer

        return await repeat_async(counted, request, POLICY)

    async def strike(self, what: str) -> None:
        """Strikes one blow, and waits until the callers have recovered."""
        before = self.acknowledged
        await eventually(lambda: self.acknowledged >= before + CALLERS, "callers are at work", timeout=200)
        if what == "service":
            replica = self._source.choice(self._replicas)
            replica.signal(signal.SIGKILL)
            await replica.ended()
            await replica.serve()
        elif what == "commit":
            cut = self._cutter.cut
            self._cutter.cuts_left = self._source.randrange(1, 6)
            await eventually(lambda: self._cutter.cut > cut, "a connection is cut behind its COMMIT", timeout=200)
        else:
            await self._server.kill()
            await self._server.start()
        before = self.acknowledged
        await eventually(lambda: self.acknowledged >= before + CALLERS, f"callers go on after {what}", timeout=200)
        self.done[what] += 1
        tell(f"{what} {self.done[what]}: {self.acknowledged} acknowledged, tries {dict(self.tries)}")


def options(number: int) -> list[tuple[str, str | int]]:
    """Returns options of a channel with its own connections."""
    return [*channel_options(COMMANDS), ("grpc.use_local_subchannel_pool", 1), ("tandem.number", number)]


async def book_faults(url: str, storm: Storm) -> list[str]:
    """Returns every difference between the write model and what callers were told."""
    paid = await execute(url, "SELECT order_id::text, payment_id, amount FROM payments")
    refunded = await execute(url, "SELECT order_id::text, refund_id, amount FROM refunds")
    totals = await execute(url, "SELECT order_id::text, paid_total, refunded_total, version FROM orders")
    said = storm.books.items()
    faults = []
    if sorted(paid) != sorted((order, *each) for order, books in said for each in books.paid.items()):
        faults.append("payments differ from what callers were told")
    if sorted(refunded) != sorted((order, *each) for order, books in said for each in books.refunded.items()):
        faults.append("refunds differ from what callers were told")
    if sorted(totals) != sorted(
        (order, sum(books.paid.values()), sum(books.refunded.values()), max(books.versions)) for order, books in said
    ):
        faults.append(f"totals or versions differ from what callers were told: {totals}")
    for order, books in said:
        if books.versions != Counter(range(1, max(books.versions) + 1)):
            faults.append(f"{order}: callers were not told each version once")
    return faults
