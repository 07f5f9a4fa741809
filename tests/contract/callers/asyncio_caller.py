"""A caller on a `grpc.aio` channel, as somebody outside writes it. Type checkers read it; nothing runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
from tandem.orders import errors
from tandem.orders.client import QUERIES, Session, channel_options
from tandem.orders.order_import_async import AsyncOrderImport
from tandem.orders.order_watch_async import list_then_watch_async, watch_orders_async
from tandem.orders.retry import repeat_async
from tandem.orders.session_calls import AsyncSessionCalls
from tandem.orders.v1.order_command_service_pb2 import ImportOrdersRequest, PlaceOrderRequest, PlaceOrderResponse
from tandem.orders.v1.order_command_service_pb2_grpc import OrderCommandServiceStub
from tandem.orders.v1.order_query_service_pb2 import GetOrderRequest, SearchOrdersRequest, WatchOrdersRequest
from tandem.orders.v1.order_query_service_pb2_grpc import OrderQueryServiceStub
from tandem.orders.v1.order_types_pb2 import Order


async def place(address: str, session: Session, request: PlaceOrderRequest) -> PlaceOrderResponse:
    """Sends a command, once and until it is answered."""
    async with grpc.aio.insecure_channel(address) as channel:
        commands = OrderCommandServiceStub(channel)
        once: PlaceOrderResponse = await commands.PlaceOrder(request, timeout=5)
        session.wrote(once)
        placed = await repeat_async(commands.PlaceOrder, request)
        session.wrote(placed)
    units: int = placed.order.total.units
    print(units)
    return placed


async def find(address: str, session: Session, order_id: str) -> Order:
    """Asks questions; an interceptor carries the session's token."""
    interceptors = [AsyncSessionCalls(session)]
    channel = grpc.aio.insecure_channel(address, options=channel_options(QUERIES), interceptors=interceptors)
    queries = OrderQueryServiceStub(channel)
    try:
        found = await queries.GetOrder(GetOrderRequest(order_id=order_id), timeout=5)
    except grpc.aio.AioRpcError as error:
        raise errors.from_rpc_error(error) from error
    async for change in queries.WatchOrders(WatchOrdersRequest()):
        print(change.resume_token.upper())
    async for order, event, resume_token in watch_orders_async(queries, WatchOrdersRequest()):
        print(order.order_number.upper(), event.event_type.upper() if event else "", resume_token.upper())
    async for listed, _, _ in list_then_watch_async(queries, SearchOrdersRequest()):
        print(listed.order_number.upper())
    return found.order


async def bring(address: str, requests: AsyncIterator[ImportOrdersRequest]) -> tuple[ImportOrdersRequest, ...]:
    """Imports over as many streams as it takes, and over one."""
    commands = OrderCommandServiceStub(grpc.aio.insecure_channel(address))
    importing = AsyncOrderImport(commands.ImportOrders, requests, window=16)
    async for request, result in importing:
        print(request.order_number.upper(), result.request_id.upper())
    async for result in commands.ImportOrders(requests):
        print(result.request_id.upper())
    return importing.unanswered
