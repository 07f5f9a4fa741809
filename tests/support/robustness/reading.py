"""Reads orders after a storm, however long the read side lags."""

from __future__ import annotations

import asyncio

import grpc
from tandem.orders.v1.order_query_service_pb2 import GetOrderRequest, ReadOptions
from tandem.orders.v1.order_types_pb2 import Order

from tests.fixtures.system import System

CATCH_UP_SECONDS = 200.0


async def read_with_token(system: System, order_id: str, token: str) -> Order:
    """Returns the order at the token's version or later; repeats the query while the read side lags."""
    options = ReadOptions(consistency_token=token)
    options.max_wait.FromSeconds(5)
    request = GetOrderRequest(order_id=order_id, read_options=options)
    deadline = asyncio.get_running_loop().time() + CATCH_UP_SECONDS
    while True:
        try:
            return (await system.queries.GetOrder(request, timeout=60)).order
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE or asyncio.get_running_loop().time() > deadline:
                raise
