"""Calls services over gRPC: by N concurrent callers with one unanswered call each, or all calls in one burst."""

from __future__ import annotations

import asyncio
import contextlib
import random
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
from google.type.money_pb2 import Money
from tandem.orders.v1.order_command_service_pb2 import PlaceOrderRequest, RecordPaymentRequest, ShipOrderRequest

from bench.harness.rounds import Figures, NotMeasured
from devstack.importers.sample_orders import SampleShop

PLACE = "/tandem.orders.v1.OrderCommandService/PlaceOrder"
PAY = "/tandem.orders.v1.OrderCommandService/RecordPayment"
SHIP = "/tandem.orders.v1.OrderCommandService/ShipOrder"
#: The numbers of concurrent callers with which each call is measured.
CALLERS = (1, 16, 64)
#: More than any sample order costs, in whole units of its currency.
PAID = 100_000
#: How many callers share one connection, like the callers in one process.
CALLERS_A_CHANNEL = 100
CALL_SECONDS = 60.0


def orders(count: int) -> list[PlaceOrderRequest]:
    """Returns requests for `count` sample orders with new ids."""
    made = []
    for request in SampleShop(count, seed=random.randrange(2**31)).requests():
        request.request_id, request.order_id = str(uuid.uuid4()), str(uuid.uuid4())
        request.order_number = ""
        made.append(request)
    return made


def payments(placed: Sequence[PlaceOrderRequest]) -> list[bytes]:
    """Returns a serialized payment for each of these orders. It is more than the order costs, so that it may ship."""
    made = []
    for order in placed:
        amount = Money(currency_code=order.lines[0].unit_price.currency_code, units=PAID)
        request = RecordPaymentRequest(
            request_id=str(uuid.uuid4()), order_id=order.order_id, amount=amount, method="card"
        )
        made.append(request.SerializeToString())
    return made


def shipments(placed: Sequence[PlaceOrderRequest]) -> list[bytes]:
    """Returns a serialized request to ship everything for each of these orders."""
    made = [ShipOrderRequest(request_id=str(uuid.uuid4()), order_id=order.order_id) for order in placed]
    return [request.SerializeToString() for request in made]


def texts(requests: Sequence[PlaceOrderRequest]) -> list[bytes]:
    """Serializes requests."""
    return [request.SerializeToString() for request in requests]


@contextlib.asynccontextmanager
async def channels(address: str, callers: int) -> AsyncIterator[list[Any]]:
    """Yields the channels that `callers` callers share, each with its own connection."""
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                grpc.aio.insecure_channel(
                    address, options=[("grpc.use_local_subchannel_pool", 1), ("tandem.channel", number)]
                )
            )
            for number in range(-(-callers // CALLERS_A_CHANNEL))
        ]


async def closed_loop(
    address: str, method: str, requests: Sequence[bytes], callers: int
) -> tuple[Figures, list[bytes]]:
    """Sends every request once. Each of `callers` concurrent callers sends its next request after an answer.

    Returns the figures (time per call in µs, latencies in ms) and the responses. Raises NotMeasured when a call fails.
    """
    left, answers, times = iter(requests), list[bytes](), list[float]()

    async def caller(call: Any) -> None:
        for request in left:
            started = time.perf_counter()
            answers.append(await call(request, timeout=CALL_SECONDS))
            times.append(time.perf_counter() - started)

    async with channels(address, callers) as opened:
        calls = [channel.unary_unary(method) for channel in opened]
        try:
            # Connects every channel. All send the same request, so only one order is placed.
            await asyncio.gather(*(call(requests[0], timeout=CALL_SECONDS) for call in calls))
            started = time.perf_counter()
            await asyncio.gather(*(caller(calls[number % len(calls)]) for number in range(callers)))
        except grpc.aio.AioRpcError as error:
            raise NotMeasured(f"{method.rpartition('/')[2]}: {error.code().name} {error.details()}") from None
        elapsed = time.perf_counter() - started
    ranked = sorted(times)
    figures = {
        "us_per_call": 1e6 * elapsed / len(requests),
        "p50_ms": 1e3 * statistics.median(ranked),
        "p99_ms": 1e3 * ranked[int(0.99 * (len(ranked) - 1))],
    }
    return figures, answers


async def burst(address: str, requests: Sequence[bytes], ended: dict[str, list[float]]) -> None:
    """Sends all requests at once. Adds to `ended`, by status code, the seconds until each answer."""

    async def one(call: Any, request: bytes) -> None:
        started, code = time.perf_counter(), "OK"
        try:
            await call(request, timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            code = error.code().name
        ended.setdefault(code, []).append(time.perf_counter() - started)

    async with channels(address, len(requests)) as opened:
        await asyncio.gather(*(channel.channel_ready() for channel in opened))
        calls = [channel.unary_unary(PLACE) for channel in opened]
        await asyncio.gather(*(one(calls[n % len(calls)], request) for n, request in enumerate(requests)))
