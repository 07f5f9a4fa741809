"""The client library on real channels: a source that was restored, and failures that no service has told of."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
import pytest_asyncio
from tandem.orders.client import Session, channel_options
from tandem.orders.consistency_token import ConsistencyToken, decode, encode
from tandem.orders.errors import (
    Cancelled,
    DeadlineExceeded,
    DependencyUnavailable,
    MessageTooLarge,
    NotImplementedYet,
    OrderError,
    from_rpc_error,
)
from tandem.orders.retry import worth_repeating
from tandem.orders.session_calls import AsyncSessionCalls, SessionCalls
from tandem.orders.v1.order_command_service_pb2 import HoldOrderRequest, PlaceOrderRequest, PlaceOrderResponse
from tandem.orders.v1.order_command_service_pb2_grpc import OrderCommandServiceStub

from devstack.servers.ports import HOST, free_port
from tests.fixtures.command_process import CommandProcess, serving
from tests.fixtures.postgres import Templates
from tests.fixtures.write_model import execute, migrated_database
from tests.support.commands.orders import place_order_request

Place = Callable[[str, Session, PlaceOrderRequest], PlaceOrderResponse]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def service(migrated_template: Templates) -> AsyncIterator[tuple[CommandProcess, str]]:
    async with migrated_database(migrated_template) as url, serving(url) as process:
        yield process, url


def place(address: str, session: Session, request: PlaceOrderRequest) -> PlaceOrderResponse:
    with grpc.insecure_channel(address) as plain:
        channel = grpc.intercept_channel(plain, SessionCalls(session))
        return OrderCommandServiceStub(channel).PlaceOrder(request, timeout=60)


def place_async(address: str, session: Session, request: PlaceOrderRequest) -> PlaceOrderResponse:
    async def placed() -> PlaceOrderResponse:
        async with grpc.aio.insecure_channel(address, interceptors=[AsyncSessionCalls(session)]) as channel:
            response: PlaceOrderResponse = await OrderCommandServiceStub(channel).PlaceOrder(request, timeout=60)
            return response

    with asyncio.Runner() as runner:
        return runner.run(placed())


@pytest.mark.parametrize("how", [place, place_async])
async def test_a_session_goes_on_when_its_source_was_restored(service: tuple[CommandProcess, str], how: Place) -> None:
    process, url = service
    session, source = Session(), random.Random()
    before = await asyncio.to_thread(how, process.address, session, place_order_request(source))
    assert session.token == before.consistency_token
    await execute(url, "UPDATE source SET epoch = epoch + 1")  # as an adoption does
    for number in (1, 2):
        after = await asyncio.to_thread(how, process.address, session, place_order_request(source))
        asked = decode(session.token)
        assert len(asked.versions) == number
        assert after.order.order_id in asked.versions
        assert asked.source_epoch > decode(before.consistency_token).source_epoch
    later = encode(ConsistencyToken(asked.source_epoch + 1, {before.order.order_id: 1}))
    session.token = later
    await asyncio.to_thread(how, process.address, session, place_order_request(source))
    assert session.token == later


def failure(address: str, request: HoldOrderRequest, timeout: float) -> OrderError:
    """What the blocking client reports."""
    with grpc.insecure_channel(address, options=channel_options()) as channel:
        with pytest.raises(grpc.RpcError) as raised:
            OrderCommandServiceStub(channel).HoldOrder(request, timeout=timeout)
        return from_rpc_error(raised.value)


def cancelled(address: str) -> OrderError:
    """What the blocking client reports of a call that it gives up."""
    with grpc.insecure_channel(address) as channel:
        call = OrderCommandServiceStub(channel).HoldOrder.future(HoldOrderRequest(), timeout=600)
        call.cancel()
        assert isinstance(call, grpc.RpcError)
        return from_rpc_error(call)


def failure_async(address: str, request: HoldOrderRequest, timeout: float) -> OrderError:
    """What the asyncio client reports."""

    async def failed() -> OrderError:
        async with grpc.aio.insecure_channel(address, options=channel_options()) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await OrderCommandServiceStub(channel).HoldOrder(request, timeout=timeout)
            return from_rpc_error(raised.value)

    with asyncio.Runner() as runner:
        return runner.run(failed())


@pytest.mark.parametrize("how", [failure, failure_async])
async def test_failures_that_the_client_reports_have_their_exceptions(
    service: tuple[CommandProcess, str], how: Callable[[str, HoldOrderRequest, float], OrderError]
) -> None:
    process, _ = service
    small, large = HoldOrderRequest(request_id="x"), HoldOrderRequest(reason="x" * 2**21)
    refused = await asyncio.to_thread(how, f"{HOST}:{free_port()}", small, 60)
    with socket.create_server((HOST, 0)) as silent:  # it answers nothing, so the deadline is always first
        late = await asyncio.to_thread(how, f"{HOST}:{silent.getsockname()[1]}", small, 0.2)
    too_large = await asyncio.to_thread(how, process.address, large, 60)
    assert [type(error) for error in (refused, late, too_large)] == [
        DependencyUnavailable,
        DeadlineExceeded,
        MessageTooLarge,
    ]
    assert [worth_repeating(error) for error in (refused, late, too_large)] == [True, True, False]


async def test_a_cancelled_call_and_an_unknown_method(service: tuple[CommandProcess, str]) -> None:
    process, _ = service
    with socket.create_server((HOST, 0)) as silent:  # it answers nothing, so the call cannot be over before
        given_up = await asyncio.to_thread(cancelled, f"{HOST}:{silent.getsockname()[1]}")
    assert type(given_up) is Cancelled
    async with grpc.aio.insecure_channel(process.address) as channel:
        unknown: Any = channel.unary_unary("/tandem.orders.v1.OrderCommandService/OfALaterVersion")
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await unknown(b"", timeout=60)
    assert type(from_rpc_error(raised.value)) is NotImplementedYet
