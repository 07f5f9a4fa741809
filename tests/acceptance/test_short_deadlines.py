"""Callers in a hurry: their deadlines are nobody's fault, leave nothing in the log, and each call ends once."""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NoReturn

import grpc
import pytest
from tandem.orders.client import channel_options
from tandem.orders.errors import from_rpc_error
from tandem.orders.v1 import order_query_service_pb2 as contract
from tandem.orders.v1.order_query_service_pb2_grpc import OrderQueryServiceStub

from query_service.application.ports.errors import OrderUnknown
from query_service.handlers.grpc.call_terms import call_terms
from query_service.handlers.grpc.order_queries import SERVICE
from query_service.handlers.grpc.status import status_of
from service_runtime.edge.caller_gone import concerns_us
from service_runtime.edge.grpc_server import GrpcLimits, GrpcServer
from service_runtime.edge.refusals import OutOfTime
from service_runtime.edge.service_methods import Call, service_methods
from tests.fixtures.system import System
from tests.support.commands.orders import place_order_request
from tests.support.queries.no_store import NoStore

#: Seconds; around the time that a call takes, and around what the read side keeps of it for its refusal.
DEADLINES = (0.0003, 0.001, 0.002, 0.005, 0.01, 0.02, 0.045, 0.05, 0.055, 0.06, 0.08)
EACH = 12
ANY_ORDER = "018f6b1e-7c3a-7d6e-9b2a-3f5e8c1d2a4b"
#: What would blame a store, and what gRPC writes of a call that is answered twice.
BLAMES = ("unavailable", "Unexpected", "Abort", "Traceback", "ExecuteBatchError", "never retrieved", "incident")
FORGIVEN = {"DEADLINE_EXCEEDED", "OK", "NOT_FOUND"}
Ask = Callable[[float], Awaitable[object]]


async def _ended(ask: Ask, seconds: float) -> str:
    try:
        await ask(seconds)
    except grpc.aio.AioRpcError as error:
        return from_rpc_error(error).code.name
    return "OK"


async def _hurry(asks: Sequence[Ask], deadlines: tuple[float, ...] = DEADLINES) -> Counter[str]:
    """How the calls ended: each question several times with each deadline."""
    calls = [(ask, seconds) for ask in asks for seconds in deadlines for _ in range(EACH)]
    random.Random(1).shuffle(calls)
    ended = Counter[str]()
    for first in range(0, len(calls), 8):
        ended.update(await asyncio.gather(*(_ended(ask, seconds) for ask, seconds in calls[first : first + 8])))
    return ended


def _new_lines(system: System, process: str, before: str) -> list[str]:
    return system.processes[process].log.read_text().removeprefix(before).splitlines()


@pytest.mark.parametrize("process", ["command", "query-serve"])
async def test_a_callers_deadline_is_no_outage(system: System, process: str) -> None:
    commands, queries, source = system.commands, system.queries, random.Random(4)
    get, search = contract.GetOrderRequest(order_id=str(uuid.uuid4())), contract.SearchOrdersRequest()
    batch = contract.BatchGetOrdersRequest(order_ids=[get.order_id])
    customer = contract.GetCustomerSummaryRequest(customer_id="nobody")
    by_state = contract.SummarizeOrdersRequest(group_by=[contract.ORDER_DIMENSION_STATE])
    asks: dict[str, list[Ask]] = {
        "command": [lambda seconds: commands.PlaceOrder(place_order_request(source), timeout=seconds)],
        "query-serve": [
            lambda seconds: queries.GetOrder(get, timeout=seconds),
            lambda seconds: queries.BatchGetOrders(batch, timeout=seconds),
            lambda seconds: queries.SearchOrders(search, timeout=seconds),
            lambda seconds: queries.SummarizeOrders(by_state, timeout=seconds),
            lambda seconds: queries.GetCustomerSummary(customer, timeout=seconds),
            lambda seconds: queries.GetReadModelStatus(contract.GetReadModelStatusRequest(), timeout=seconds),
        ],
    }
    before = system.processes[process].log.read_text()
    ended = await _hurry(asks[process])
    assert ended.keys() <= FORGIVEN, ended
    assert ended["DEADLINE_EXCEEDED"] >= EACH
    assert [line for line in _new_lines(system, process, before) if any(word in line for word in BLAMES)] == []


# -- answered once -----------------------------------------------------------------------------------------------------


async def _refuse(_: Any, call: Call) -> NoReturn:
    await asyncio.sleep(call.seconds / 2)
    raise OrderUnknown("any")


class _BoundedAsAWhole(grpc.GenericRpcHandler):
    """A service whose calls are ended at the deadline whatever they do, also while they are being refused."""

    def __init__(self, methods: grpc.GenericRpcHandler) -> None:
        self._methods = methods

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Called by gRPC for each call."""
        handler: Any = self._methods.service(handler_call_details)

        async def bounded(request: bytes, context: Any) -> Any:
            try:
                async with asyncio.timeout(context.time_remaining()):
                    return await handler.unary_unary(request, context)
            except TimeoutError:
                status = status_of(OutOfTime())
                await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, status.message)

        return grpc.unary_unary_rpc_method_handler(bounded, response_serializer=handler.response_serializer)


async def _refusals_at_the_deadline(
    form: Callable[[grpc.GenericRpcHandler], grpc.GenericRpcHandler], caplog: pytest.LogCaptureFixture
) -> list[str]:
    """What is logged when many calls are refused just as their time runs out."""
    server = GrpcServer("127.0.0.1:0", GrpcLimits(), services=[SERVICE.full_name])
    terms = call_terms(lambda *_: None, 30.0, NoStore())
    server.add(form(service_methods(SERVICE, {"GetOrder": _refuse}, terms)))
    address = await server.start()
    try:
        with caplog.at_level(logging.WARNING):
            async with grpc.aio.insecure_channel(address, options=channel_options()) as channel:
                get = OrderQueryServiceStub(channel).GetOrder
                await _hurry(
                    10 * [lambda seconds: get(contract.GetOrderRequest(order_id=ANY_ORDER), timeout=seconds)],
                    (0.001, 0.002),
                )
    finally:
        await server.stop()
    return [record.getMessage() for record in caplog.records if concerns_us(record)]


async def test_a_call_is_refused_once(caplog: pytest.LogCaptureFixture) -> None:
    assert await _refusals_at_the_deadline(lambda methods: methods, caplog) == []


@pytest.mark.mutant
async def test_a_call_that_is_refused_twice_is_noticed(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(20):
        if any(
            "Abort" in line or "Unexpected" in line
            for line in await _refusals_at_the_deadline(_BoundedAsAWhole, caplog)
        ):
            return
    pytest.fail("no call was refused twice")
