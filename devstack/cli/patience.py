"""Waits for an answer only while somebody is there to give it.

A process that hangs accepts connections and never answers, and a store that hangs makes its service do the same. So
while a command waits for an answer, it probes the service. Without a reply it ends soon, however long it could have
waited.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from tandem.orders.client import COMMANDS, QUERIES
from tandem.orders.v1.order_query_service_pb2 import ReadInfo, SearchOrdersRequest

from devstack.cli.waiting_time import SILENT_PART, patience_seconds, sign_seconds

if TYPE_CHECKING:
    from devstack.cli.stubs import Stubs

_AGAIN_SECONDS = 1.0
_SERVICES = {"command": COMMANDS, "query": QUERIES, "export": "tandem.orders.v1.OrderExportService"}
Answer = TypeVar("Answer")


class NoSignOfLife(Exception):  # noqa: N818 - reads as what happened
    """A service gave no sign of life. The message names it and says what is known."""


async def answer_while_alive(
    work: Awaitable[Answer], sign_of_life: Callable[[], Awaitable[None]], heard: Callable[[], float] = lambda: 0.0
) -> Answer:
    """Returns the result of `work`; cancels it when `sign_of_life` raises NoSignOfLife.

    `heard` returns when, on the monotonic clock, something arrived last.
    """
    task = asyncio.ensure_future(work)
    begun, silence = time.monotonic(), patience_seconds() * SILENT_PART
    try:
        while not task.done():
            silent = time.monotonic() - max(begun, heard())
            if silent < silence:
                await asyncio.wait({task}, timeout=silence - silent)
                continue
            await sign_of_life()
            await asyncio.wait({task}, timeout=_AGAIN_SECONDS)
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def sign_of(stubs: Stubs, service: str) -> Callable[[], Awaitable[None]]:
    """Returns a probe of `command`, `query` or `export`."""

    async def asked() -> None:
        health, searched = await asyncio.gather(_health(stubs, service), _searched(stubs, service))
        address = stubs.address_of(service)
        if health is None and searched is None:
            raise NoSignOfLife(f"The {service} service on {address} does not answer.")
        if service == "command" and health == HealthCheckResponse.NOT_SERVING:
            raise NoSignOfLife(f"The command service on {address} takes no commands: its database does not answer.")
        if service == "export" and health == HealthCheckResponse.NOT_SERVING:
            raise NoSignOfLife(f"The export service on {address} cannot answer: its database does not.")
        if service == "query" and searched is None:
            raise NoSignOfLife(f"The query service on {address} cannot answer: its read store does not.")

    return asked


async def _health(stubs: Stubs, service: str) -> int | None:
    """Returns the service's health; None without an answer."""
    check = HealthCheckRequest(service=_SERVICES[service])
    stub: Any = HealthStub(stubs.channels[service])  # its methods are made when it is
    try:
        return int((await stub.Check(check, timeout=sign_seconds())).status)
    except grpc.aio.AioRpcError as error:
        return None if _silent(error) else int(HealthCheckResponse.UNKNOWN)


async def _searched(stubs: Stubs, service: str) -> ReadInfo | None:
    """Sends the smallest search; returns the freshness of its answer, None without an answer.

    A search notices a hanging store at once; the query service's health notices it only after a while.
    """
    if service != "query":
        return None
    try:
        question = SearchOrdersRequest(page_size=1)
        return (await stubs.queries.SearchOrders(question, timeout=sign_seconds())).read_info
    except grpc.aio.AioRpcError as error:
        return None if _silent(error) else ReadInfo()  # it refused the question, so it is there


def _silent(error: grpc.aio.AioRpcError) -> bool:
    return error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


def sign_of_reading(stubs: Stubs) -> Callable[[], Awaitable[None]]:
    """Returns a probe of `query` that also checks whether what it reads gets younger."""
    seen: tuple[float, int] | None = None

    async def asked() -> None:
        nonlocal seen
        await sign_of(stubs, "query")()
        info = await _searched(stubs, "query")
        now, as_of = time.monotonic(), info.as_of.ToMicroseconds() if info is not None else 0
        if seen is None or seen[1] != as_of:
            seen = (now, as_of)
        elif now - seen[0] > sign_seconds():
            raise NoSignOfLife("The read side makes no progress: relay, NATS, projector or Elasticsearch hangs.")

    return asked
