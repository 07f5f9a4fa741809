"""A session of callers that live longer than their source database, on a real query service."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from tandem.orders.client import Session
from tandem.orders.errors import TokenFromOtherSource, from_rpc_error
from tandem.orders.session_calls import AsyncSessionCalls, SessionCalls
from tandem.orders.v1.order_query_service_pb2 import GetOrderRequest, GetOrderResponse
from tandem.orders.v1.order_query_service_pb2_grpc import OrderQueryServiceStub

from tests.support.queries.order_events import PublishedEvent, an_order, published
from tests.support.queries.query_serving import Server, apply, freshness, knows_freshness, names, own_server
from tests.support.queries.read_side import ReadSide, empty_read_side, eventually, read_side

__all__ = ["empty_read_side", "own_server", "read_side"]
WAIT = timedelta(seconds=0.3)
Ask = Callable[[str, Session, GetOrderRequest], GetOrderResponse]


def ask(address: str, session: Session, request: GetOrderRequest) -> GetOrderResponse:
    with grpc.insecure_channel(address) as plain:
        channel = grpc.intercept_channel(plain, SessionCalls(session, WAIT))
        return OrderQueryServiceStub(channel).GetOrder(request, timeout=60)


def ask_async(address: str, session: Session, request: GetOrderRequest) -> GetOrderResponse:
    async def asked() -> GetOrderResponse:
        async with grpc.aio.insecure_channel(address, interceptors=[AsyncSessionCalls(session, WAIT)]) as channel:
            response: GetOrderResponse = await OrderQueryServiceStub(channel).GetOrder(request, timeout=60)
            return response

    with asyncio.Runner() as runner:
        return runner.run(asked())


def ask_future(address: str, session: Session, request: GetOrderRequest) -> GetOrderResponse:
    """By `.future()` a question may be refused; the next one is right."""
    with grpc.insecure_channel(address) as plain:
        stub = OrderQueryServiceStub(grpc.intercept_channel(plain, SessionCalls(session, WAIT)))
        with suppress(grpc.RpcError):  # A refusal that is here at once is asked again; a later one is not.
            stub.GetOrder.future(request, timeout=60).result()
        return stub.GetOrder(request, timeout=60)


async def check(how: Ask, event: PublishedEvent, address: str) -> None:
    request, session = GetOrderRequest(order_id=event.order_id), Session()
    session.token = names(event, epoch=1)  # written before the source was restored
    answer = await asyncio.to_thread(how, address, session, request)
    assert answer.order == event.order
    assert session.token == ""


async def test_questions_go_on_when_the_source_was_restored(
    read_side: ReadSide, own_server: Server, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    event, address = published(an_order(version=3), source_epoch=2), f"127.0.0.1:{unused_tcp_port}"
    await apply(read_side, event)
    for how in (ask, ask_async, ask_future):
        await check(how, event, address)
    # Not yet followed by the read model: the token is right, and it is kept.
    await read_side.store.record_freshness(freshness(datetime.now(UTC), epoch=2))
    await eventually(lambda: knows_freshness(own_server, event), "freshness")
    session = Session()
    session.token = early = names(event, epoch=3)
    for how in (ask, ask_async):
        with pytest.raises(grpc.RpcError) as raised:
            await asyncio.to_thread(how, address, session, GetOrderRequest(order_id=event.order_id))
        assert isinstance(from_rpc_error(raised.value), TokenFromOtherSource)
        assert session.token == early
    # Mutant: refusals are not heard.
    monkeypatch.setattr(Session, "refused", lambda *_: False)
    for how in (ask, ask_async):
        with pytest.raises(grpc.RpcError):
            await check(how, event, address)
