"""What a caller has written, they read: at once, with the token, through any delay of the relay and the projector."""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from tandem.orders.client import Session
from tandem.orders.consistency_token import ConsistencyToken, decode, encode
from tandem.orders.errors import ReadModelBehind, from_rpc_error
from tandem.orders.session_calls import AsyncSessionCalls, SessionCalls
from tandem.orders.v1.order_command_service_pb2 import HoldOrderRequest, PlaceOrderResponse
from tandem.orders.v1.order_command_service_pb2_grpc import OrderCommandServiceStub
from tandem.orders.v1.order_query_service_pb2 import (
    GetOrderHistoryRequest,
    GetOrderRequest,
    GetOrderResponse,
    OrderFilter,
    ReadOptions,
    SearchOrdersRequest,
)
from tandem.orders.v1.order_query_service_pb2_grpc import OrderQueryServiceStub

from tests.acceptance.test_metrics import scrape
from tests.fixtures.system import System
from tests.fixtures.write_model import execute
from tests.support.commands.orders import place_order_request
from tests.support.queries.asking import once_caught_up
from tests.support.relay import streams

if TYPE_CHECKING:  # the stubs' asynchronous flavour exists for the type checker only
    from tandem.orders.v1.order_command_service_pb2_grpc import OrderCommandServiceAsyncStub
    from tandem.orders.v1.order_query_service_pb2_grpc import OrderQueryServiceAsyncStub

ORDERS = 1_000
CALLERS = 8
WAIT = Duration()
WAIT.FromTimedelta(timedelta(seconds=5))
COUNTED = 'query_calls_total{code="UNAVAILABLE",method="GetOrder"}'


@asynccontextmanager
async def in_background(work: Callable[[], object]) -> AsyncIterator[None]:
    """Repeats `work` while the block runs."""

    async def repeat() -> None:
        while True:
            await work()  # type: ignore[misc]

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def delays(system: System, seed: int) -> AbstractAsyncContextManager[None]:
    """Stops relay and projector again and again, one at a time, for up to half a second."""
    source = random.Random(seed)

    async def delay_once() -> None:
        with system.paused(source.choice(("relay", "query-project"))):
            await asyncio.sleep(source.uniform(0.05, 0.5))
        await asyncio.sleep(source.uniform(0.05, 0.5))

    return in_background(delay_once)


class Reader:
    """Reads orders back and counts what should not be."""

    def __init__(self, system: System, *, with_token: bool) -> None:
        self._system, self._with_token = system, with_token
        self.reads = self.missing = self.older = self.different = 0

    async def read(self, written: PlaceOrderResponse) -> None:
        """One GetOrder of what was written."""
        self.reads += 1
        options = ReadOptions(max_wait=WAIT)
        if self._with_token:
            options.consistency_token = written.consistency_token
        request = GetOrderRequest(order_id=written.order.order_id, read_options=options)
        try:
            answer = await once_caught_up(self._system.queries.GetOrder, request)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            self.missing += 1
            return
        self.older += answer.order.version < written.version
        self.different += answer.order.version == written.version and answer.order != written.order


async def place_and_read(system: System, reader: Reader, orders: int, seed: int) -> None:
    """Each caller places an order, reads it at once, and reads one of the earlier ones."""
    written: list[PlaceOrderResponse] = []

    async def caller(number: int) -> None:
        source = random.Random(seed * 1_000 + number)
        for _ in range(orders // CALLERS):
            response = await system.commands.PlaceOrder(place_order_request(source), timeout=60)
            await reader.read(response)
            written.append(response)
            await reader.read(source.choice(written))

    await asyncio.gather(*(caller(number) for number in range(CALLERS)))


@pytest.mark.parametrize("delayed", [False, True], ids=["undisturbed", "relay and projector delayed"])
async def test_with_its_token_every_order_is_there_at_once(own_system: System, delayed: bool) -> None:
    reader = Reader(own_system, with_token=True)
    async with delays(own_system, seed=1) if delayed else nullcontext():
        await place_and_read(own_system, reader, ORDERS, seed=1 + delayed)
    assert reader.reads == 2 * ORDERS
    assert (reader.missing, reader.older, reader.different) == (0, 0, 0)


async def test_without_the_token_reads_are_stale(own_system: System) -> None:
    """Guards the test above: were the read side always current, tokens would prove nothing."""
    reader = Reader(own_system, with_token=False)
    await place_and_read(own_system, reader, 200, seed=3)
    assert reader.missing + reader.older > 0


async def test_a_version_that_never_comes_is_waited_for_once(own_system: System) -> None:
    """The client's service config retries UNAVAILABLE; an answer after the whole wait must not be asked for again."""
    order_id = str(uuid.uuid4())
    wait = Duration()
    wait.FromTimedelta(timedelta(seconds=0.5))
    token = encode(ConsistencyToken(1, {order_id: 1}))
    request = GetOrderRequest(order_id=order_id, read_options=ReadOptions(consistency_token=token, max_wait=wait))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await own_system.queries.GetOrder(request, timeout=60)
    counted: list[str] = []
    async with asyncio.timeout(120):  # a call is counted when it is over, which is after its answer
        while not counted:
            exported = await asyncio.to_thread(scrape, own_system.processes["query-serve"].probes)
            counted = [line for line in exported.splitlines() if line.startswith(COUNTED)]
    assert counted == [f"{COUNTED} 1.0"], "it was asked for more than once"
    refusal = from_rpc_error(caught.value)
    assert isinstance(refusal, ReadModelBehind)
    assert refusal.metadata["order_id"] == order_id
    assert refusal.metadata["needed_version"] == "1"


async def test_a_session_carries_its_tokens_by_itself(system: System) -> None:
    """Both flavours share one session; no call names a token."""
    session = Session()
    by_themselves = [AsyncSessionCalls(session, max_wait=timedelta(seconds=5))]
    async with (
        grpc.aio.insecure_channel(system.command_address, interceptors=by_themselves) as commands,
        grpc.aio.insecure_channel(system.query_address, interceptors=by_themselves) as queries,
    ):
        orders: OrderCommandServiceAsyncStub = OrderCommandServiceStub(commands)
        questions: OrderQueryServiceAsyncStub = OrderQueryServiceStub(queries)
        call = orders.PlaceOrder(place_order_request(random.Random(41)), timeout=60)
        placed = await call
        assert await call.code() is grpc.StatusCode.OK
        assert decode(session.token).versions == {placed.order.order_id: 1}
        by_number = OrderFilter(text=placed.order.order_number)
        found = await questions.SearchOrders(SearchOrdersRequest(filter=by_number), timeout=60)
        assert [order.order_id for order in found.orders] == [placed.order.order_id]
        with pytest.raises(grpc.aio.AioRpcError):
            await orders.HoldOrder(HoldOrderRequest(order_id=placed.order.order_id), timeout=60)
        assert decode(session.token).versions == {placed.order.order_id: 1}
    second = await asyncio.to_thread(_hold_and_read, system, session, placed.order.order_id)
    assert second.order.version == 2
    assert decode(session.token).versions == {placed.order.order_id: 2}


def _hold_and_read(system: System, session: Session, order_id: str) -> GetOrderResponse:
    with (
        grpc.insecure_channel(system.command_address) as commands,
        grpc.insecure_channel(system.query_address) as queries,
    ):
        carrying = SessionCalls(session, max_wait=timedelta(seconds=5))
        held = OrderCommandServiceStub(grpc.intercept_channel(commands, carrying)).HoldOrder(
            HoldOrderRequest(request_id=str(uuid.uuid4()), order_id=order_id), timeout=20
        )
        assert held.version == 2
        questions = OrderQueryServiceStub(grpc.intercept_channel(queries, carrying))
        return questions.GetOrder(GetOrderRequest(order_id=order_id), timeout=60)


async def test_an_event_has_the_same_hash_wherever_it_is_kept(system: System) -> None:
    """So whoever changes one of the three, or two, is found out by the rest."""
    placed = await system.commands.PlaceOrder(place_order_request(random.Random(43)), timeout=60)
    order_id = placed.order.order_id
    held = await system.commands.HoldOrder(
        HoldOrderRequest(request_id=str(uuid.uuid4()), order_id=order_id), timeout=60
    )
    options = ReadOptions(consistency_token=held.consistency_token, max_wait=WAIT)
    history = await once_caught_up(
        system.queries.GetOrderHistory, GetOrderHistoryRequest(order_id=order_id, read_options=options)
    )
    in_index = [entry.hash.hex() for entry in history.entries]
    in_stream = [
        urlsafe_b64decode(message.headers["Tandem-Hash"] + "=").hex()
        for message in await streams.read_all(system.nats_url, system.stream)
        if message.headers.get("ce-subject") == order_id
    ]
    in_database = await execute(
        system.postgres_url,
        f"SELECT encode(hash, 'hex') FROM outbox WHERE aggregate_id = '{order_id}' ORDER BY aggregate_version",
    )
    assert len(set(in_index)) == 2
    assert in_index == in_stream == [value for (value,) in in_database]
