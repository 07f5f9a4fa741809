"""A caller on a `grpc` channel, as somebody outside writes it. Type checkers read it; nothing runs it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import grpc
from google.rpc.status_pb2 import Status
from google.type.money_pb2 import Money
from google.type.postal_address_pb2 import PostalAddress
from tandem.orders import consistency_token, errors
from tandem.orders.client import COMMANDS, QUERIES, Session, channel_options
from tandem.orders.order_import import OrderImport
from tandem.orders.partition import partition_of
from tandem.orders.retry import RetryPolicy, repeat
from tandem.orders.session_calls import SessionCalls
from tandem.orders.v1.order_command_service_pb2 import (
    ImportOrdersRequest,
    NewOrderLine,
    PlaceOrderRequest,
    PlaceOrderResponse,
)
from tandem.orders.v1.order_command_service_pb2_grpc import OrderCommandServiceStub
from tandem.orders.v1.order_query_service_pb2 import GetOrderRequest, OnTimeout, SearchOrdersRequest, WatchOrdersRequest
from tandem.orders.v1.order_query_service_pb2_grpc import OrderQueryServiceStub
from tandem.orders.v1.order_types_pb2 import Customer, Order, OrderState


def place(address: str, session: Session) -> PlaceOrderResponse:
    """Sends a command, once and until it is answered."""
    with grpc.insecure_channel(address, options=channel_options(COMMANDS)) as channel:
        commands = OrderCommandServiceStub(channel)
        request = PlaceOrderRequest(
            customer=Customer(customer_id="ALFKI"),
            shipping_address=PostalAddress(region_code="DE", address_lines=["Obere Str. 57"]),
            lines=[NewOrderLine(sku="CHAI", quantity=10, unit_price=Money(currency_code="EUR", units=18))],
        )
        once: PlaceOrderResponse = commands.PlaceOrder(request, timeout=5)
        session.wrote(once)
        placed = repeat(commands.PlaceOrder, request, RetryPolicy(give_up_after=10.0))
        session.wrote(placed)
    units: int = placed.order.total.units
    bucket: int = partition_of(placed.order.order_id)
    token: str = consistency_token.merge(once.consistency_token, placed.consistency_token)
    print(units, bucket, token)
    return placed


def find(address: str, session: Session, order_id: str) -> Order:
    """Asks questions, with the session's options given by hand and by an interceptor."""
    channel = grpc.intercept_channel(
        grpc.insecure_channel(address, options=channel_options(QUERIES)), SessionCalls(session)
    )
    queries = OrderQueryServiceStub(channel)
    options = session.read_options(timedelta(seconds=1), OnTimeout.ON_TIMEOUT_FAIL)
    try:
        found = queries.GetOrder(GetOrderRequest(order_id=order_id, read_options=options), timeout=5)
    except grpc.RpcError as error:
        refusal = errors.from_rpc_error(error)
        if isinstance(refusal, errors.VersionMismatch):
            print(refusal.current_version + 1)
        for violation in refusal.violations:
            print(violation.field.upper(), refusal.metadata["rule"].upper())
        raise refusal from error
    state: OrderState.ValueType = found.order.state
    print(OrderState.Name(state), queries.SearchOrders(SearchOrdersRequest(), timeout=5).orders[0].order_number)
    for change in queries.WatchOrders(WatchOrdersRequest()):
        print(change.resume_token.upper())
    return found.order


def bring(address: str, requests: list[ImportOrdersRequest]) -> tuple[ImportOrdersRequest, ...]:
    """Imports over as many streams as it takes, and over one."""
    commands = OrderCommandServiceStub(grpc.insecure_channel(address))
    importing = OrderImport(commands.ImportOrders, requests, window=16)
    for request, result in importing:
        if result.status:
            print(request.order_number.upper(), errors.from_status(Status.FromString(result.status)).message.upper())
    results: Iterator[bytes] = (result.status for result in commands.ImportOrders(iter(requests)))
    print(*results)
    return importing.unanswered
