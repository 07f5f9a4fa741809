"""Watching orders on real servers: a change is sent once, as soon as a read shows it, and a watch resumes anywhere."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from tandem.orders.errors import OrderError, ResumeTokenExpired, ResumeTokenMalformed, from_rpc_error
from tandem.orders.v1 import order_query_service_pb2 as contract

from tests.support.queries.order_events import PublishedEvent, an_order, published
from tests.support.queries.query_serving import Server, serving
from tests.support.queries.read_side import ReadSide, empty_read_side, eventually, read_side

__all__ = ["empty_read_side", "read_side"]

Responses = grpc.aio.UnaryStreamCall[contract.WatchOrdersRequest, contract.WatchOrdersResponse]


@asynccontextmanager
async def watching(server: Server, **fields: Any) -> AsyncIterator["Watch"]:
    """Watches within the block; begins when the watch has given its first sign of life."""
    call = server.stub.WatchOrders(contract.WatchOrdersRequest(**fields))
    watch = Watch(call)
    try:
        await watch.next_response()
        yield watch
    finally:
        call.cancel()


class Watch:
    """One watch, and what it has got."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self.token = ""

    async def next_response(self) -> contract.WatchOrdersResponse:
        """Returns the next response; raises refusals as the client library's exceptions."""
        try:
            async with asyncio.timeout(60):
                response = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        assert response is not grpc.aio.EOF
        self.token = response.resume_token
        return response

    async def changes(self, count: int) -> list[tuple[str, int]]:
        """Returns the next `count` changes as (order id, version)."""
        got: list[tuple[str, int]] = []
        while len(got) < count:
            response = await self.next_response()
            if response.HasField("event"):
                got.append((response.event.order_id, response.event.order_version))
        return got


def of(*events: PublishedEvent) -> list[tuple[str, int]]:
    return [(event.order_id, event.version) for event in events]


def a_history(versions: int) -> list[PublishedEvent]:
    order_id = str(uuid.uuid4())
    return [published(an_order(order_id, version)) for version in range(1, versions + 1)]


async def test_a_change_is_sent_once_when_it_is_readable(
    read_side: ReadSide, unused_tcp_port: int
) -> None:
    events = a_history(3)
    async with serving(read_side, unused_tcp_port, watch_silence_seconds=0.5) as server, watching(server) as watch:
        await read_side.publish(*events)
        first = await watch.next_response()
        assert not first.HasField("event"), "a change was sent before it was readable"
        async with read_side.projecting():
            assert await watch.changes(3) == of(*events)
