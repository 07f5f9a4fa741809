"""Calls that every type checker must refuse: the lines that end in `# refused`, and no other."""

from __future__ import annotations

import grpc
from google.type.money_pb2 import Money
from tandem.orders import errors
from tandem.orders.client import Session
from tandem.orders.order_import import OrderImport
from tandem.orders.order_import_async import AsyncOrderImport
from tandem.orders.retry import repeat, repeat_async
from tandem.orders.v1.order_command_service_pb2 import ImportOrdersRequest, NewOrderLine, PlaceOrderRequest
from tandem.orders.v1.order_command_service_pb2_grpc import OrderCommandServiceStub
from tandem.orders.v1.order_query_service_pb2 import GetOrderRequest
from tandem.orders.v1.order_query_service_pb2_grpc import OrderQueryServiceStub

place, get = PlaceOrderRequest(), GetOrderRequest()
imports = [ImportOrdersRequest()]
channel = grpc.insecure_channel("localhost:1")
commands, queries = OrderCommandServiceStub(channel), OrderQueryServiceStub(channel)


def requests() -> None:
    """Fields that are not there, and of the wrong type."""
    print(PlaceOrderRequest(costumer=None))  # refused
    print(NewOrderLine(quantity="10"))  # refused
    print(NewOrderLine(unit_price=Money(unit=18)))  # refused
    print(place.shipping_address.town)  # refused


def calls() -> None:
    """Methods that are not there, and requests and answers of another method."""
    print(commands.PlaceOrders(place))  # refused
    print(commands.PlaceOrder(get))  # refused
    print(commands.PlaceOrder(place).odrer)  # refused
    print(commands.PlaceOrder(place).order.total.cents)  # refused
    print(repeat(commands.PlaceOrder, place).odrer)  # refused
    print([result.state for result in commands.ImportOrders(iter(imports))])  # refused
    print([result.state for _, result in OrderImport(commands.ImportOrders, imports)])  # refused
    Session().wrote(queries.GetOrder(get))  # refused


def refusals(error: grpc.RpcError) -> None:
    """What only some refusals say."""
    print(errors.from_rpc_error(error).current_version)  # refused
    print(errors.from_rpc_error(error).code + 1)  # refused


async def never_awaited() -> None:
    """Answers that are not here yet, and awaited ones that were here at once."""
    commands = OrderCommandServiceStub(grpc.aio.insecure_channel("localhost:1"))
    placed = commands.PlaceOrder(place)
    print(placed.order)  # refused
    Session().wrote(placed)  # refused
    for _ in commands.ImportOrders(iter(imports)):  # refused
        pass
    print((await repeat_async(commands.PlaceOrder, place)).odrer)  # refused
    print(repeat(commands.PlaceOrder, place).order)  # refused
    print(repeat_async(commands.PlaceOrder, place).order)  # refused
    print([result.state async for _, result in AsyncOrderImport(commands.ImportOrders, imports)])  # refused
    print(OrderImport(commands.ImportOrders, imports))  # refused


async def awaited_in_vain() -> None:
    """A stub on a `grpc` channel, used as one on a `grpc.aio` channel."""
    print(await commands.PlaceOrder(place))  # refused
    print(await repeat_async(commands.PlaceOrder, place))  # refused
    print(AsyncOrderImport(commands.ImportOrders, imports))  # refused
    print(OrderImport(commands.PlaceOrder, imports))  # refused
