"""Sends commands at a steady rate, reads with the tokens that they gave, and counts every wrong answer."""

from __future__ import annotations

import asyncio
import collections
import random
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from tandem.orders.errors import ReadModelBehind, from_rpc_error
from tandem.orders.v1.order_command_service_pb2 import HoldOrderRequest, ReleaseOrderRequest
from tandem.orders.v1.order_query_service_pb2 import (
    GetOrderRequest,
    OrderFilter,
    ReadInfo,
    ReadOptions,
    SearchOrdersRequest,
)

from tests.fixtures.system import System
from tests.support.commands.orders import place_order_request
from tests.support.robustness.traffic import UNANSWERED

CALL_SECONDS = 60.0
#: How long a read is repeated that is refused because the read model lags.
PATIENCE_SECONDS = 200.0
#: The share of commands that place an order; the others change one.
PLACED = 0.3
#: Commands that are under way at the same time, at most.
AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Reads:
    """After how many commands a read of each kind follows.

    `own`: the order by id with the token. `listed`: the order in a list with the token, which refreshes the index and
    costs more than the other reads together. `old`: another order by id.
    """

    own: int = 2
    listed: int = 50
    old: int = 5


class SteadyCallers:
    """Sends `rate` commands a second within the block, to new orders and to those of `changeable`, and reads.

    `readable` are orders that must be found at any time. `versions` has the last version of each order that was
    changed. `behind` counts, by kind, refusals of reads because the read model lags; such a read is repeated. `wrong`
    counts failed reads, answers staler than their token, and orders that are not found, by a sentence. With `outages`
    processes and stores are away for a while, so a read that is not answered is counted in `behind`, and repeated.
    """

    def __init__(
        self,
        system: System,
        seed: int,
        rate: float,
        changeable: Sequence[str],
        readable: Sequence[str],
        reads: Reads | None = None,
        *,
        outages: bool = False,
    ) -> None:
        self._system, self._source, self._rate = system, random.Random(f"{seed} callers"), rate
        self._changeable, self._readable, self._reads = changeable, readable, reads or Reads()
        self._repeated = UNANSWERED if outages else set[grpc.StatusCode]()
        self._busy: set[str] = set()
        self._on_hold: set[str] = set()
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._calls: set[asyncio.Task[None]] = set()
        self._ticking: asyncio.Task[None] | None = None
        self.commands = self.reads = 0
        self.behind: collections.Counter[str] = collections.Counter()
        self.versions: dict[str, int] = {}
        self.answers: collections.Counter[str] = collections.Counter()
        self.wrong: collections.Counter[str] = collections.Counter()

    async def __aenter__(self) -> SteadyCallers:
        self._ticking = asyncio.create_task(self._tick())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._ticking is not None
        self._ticking.cancel()
        await asyncio.gather(self._ticking, return_exceptions=True)
        while self._calls:
            await asyncio.gather(*self._calls, return_exceptions=True)

    async def answered_by(self, generation: str, answers: int = 10) -> None:
        """Waits until a generation has answered some more reads."""
        wanted = self.answers[generation] + answers
        while self.answers[generation] < wanted:
            assert self._ticking is not None
            assert not self._ticking.done(), "the callers have ended"
            await asyncio.sleep(0.02)

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        number = 0
        while True:
            await self._turns.acquire()
            number += 1
            self._begin(self._command(number))
            await asyncio.sleep(max(0.0, begun + number / self._rate - loop.time()))

    def _begin(self, call: Awaitable[None]) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(call)
        self._calls.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        self._turns.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            self.wrong[f"a command failed: {error!r}"] += 1

    async def _command(self, number: int) -> None:
        answer = await self._changed()
        self.commands += 1
        order, token = answer.order, answer.consistency_token
        self.versions[order.order_id] = order.version
        if number % self._reads.own == 0:
            await self._read("GetOrder with a token", order.order_id, order.version, token)
        if number % self._reads.listed == 0:
            await self._search(order.order_id, order.version, token)
        if number % self._reads.old == 0:
            await self._read("GetOrder", self._source.choice(self._readable), 1)

    async def _changed(self) -> Any:
        """Places an order, or puts one on hold, or releases it. An order is changed by one command at a time."""
        commands = self._system.commands
        if self._source.random() < PLACED:
            placed = place_order_request(self._source)
            return await self._acknowledged(lambda: commands.PlaceOrder(placed, timeout=CALL_SECONDS))
        order_id = self._source.choice(self._changeable)
        while order_id in self._busy:
            order_id = self._source.choice(self._changeable)
        ids: Any = {"request_id": str(uuid.UUID(int=self._source.getrandbits(128), version=4)), "order_id": order_id}
        self._busy.add(order_id)
        try:
            if order_id in self._on_hold:
                self._on_hold.discard(order_id)
                released = ReleaseOrderRequest(**ids)
                return await self._acknowledged(lambda: commands.ReleaseOrder(released, timeout=CALL_SECONDS))
            self._on_hold.add(order_id)
            held = HoldOrderRequest(**ids, reason="load")
            return await self._acknowledged(lambda: commands.HoldOrder(held, timeout=CALL_SECONDS))
        finally:
            self._busy.discard(order_id)

    async def _acknowledged(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Returns the answer of a command. Repeats it while the service is overloaded or does not answer."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while True:
            try:
                return await call()
            except grpc.aio.AioRpcError as error:
                if error.code() not in UNANSWERED or asyncio.get_running_loop().time() > deadline:
                    raise
            await asyncio.sleep(0.05)

    async def _read(self, what: str, order_id: str, version: int, token: str = "") -> None:
        request = GetOrderRequest(order_id=order_id, read_options=read_options(token))
        answer = await self._answer(what, lambda: self._system.queries.GetOrder(request, timeout=CALL_SECONDS))
        if answer is not None:
            self._judge(what, answer.order.version >= version and answer.order.order_id == order_id, answer.read_info)

    async def _search(self, order_id: str, version: int, token: str) -> None:
        what = "SearchOrders with a token"
        request = SearchOrdersRequest(filter=OrderFilter(order_ids=[order_id]), read_options=read_options(token))
        answer = await self._answer(what, lambda: self._system.queries.SearchOrders(request, timeout=CALL_SECONDS))
        if answer is not None:
            found = [order.version for order in answer.orders]
            self._judge(what, len(found) == 1 and found[0] >= version, answer.read_info)

    async def _answer(self, what: str, call: Callable[[], Awaitable[Any]]) -> Any:
        """Returns the answer; None when the read failed. Repeats it while the read model lags, or is away."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while True:
            try:
                return await call()
            except grpc.aio.AioRpcError as error:
                again = isinstance(from_rpc_error(error), ReadModelBehind) or error.code() in self._repeated
                if not again or asyncio.get_running_loop().time() > deadline:
                    self.wrong[f"{what}: {error.code().name}: {error.details()}"] += 1
                    return None
                self.behind[what] += 1
            if self._repeated:
                await asyncio.sleep(0.05)  # a process that is away refuses at once

    def _judge(self, what: str, right: bool, info: ReadInfo) -> None:
        self.reads += 1
        self.answers[info.generation] += 1
        if not right:
            self.wrong[f"{what}: staler than its token, or without the order; {info.generation}"] += 1
        if info.stale:
            self.wrong[f"{what}: says that it is stale"] += 1


def read_options(token: str) -> ReadOptions:
    """Returns options that wait as long for the token as the contract allows."""
    return ReadOptions(consistency_token=token, max_wait=Duration(seconds=5))
