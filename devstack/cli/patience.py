"""Waiting for an answer while somebody is there to give it.

A process that hangs takes connections and never answers, and a store that hangs makes its service do the same. So while
an answer is awaited the service is asked for a sign of life; without one the command ends soon, however long it could
have waited.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from tandem.orders.client import COMMANDS
from tandem.orders.v1.order_query_service_pb2 import SearchOrdersRequest

from devstack.cli.waiting_time import patience_seconds

if TYPE_CHECKING:
    from devstack.cli.stubs import Stubs

#: The part of the patience in which nothing is asked; nearly every answer is there by then. The rest is for the sign.
_SILENT_PART = 0.45
_AGAIN_SECONDS = 1.0
Answer = TypeVar("Answer")


class NoSignOfLife(Exception):  # noqa: N818 - reads as what happened
    """Nobody is there to answer; the message says who and what is known of it."""


async def answer_while_alive(
    work: Awaitable[Answer], sign_of_life: Callable[[], Awaitable[None]], heard: Callable[[], float] = lambda: 0.0
) -> Answer:
    """What `work` gives. `sign_of_life` raises NoSignOfLife, and then `work` is cancelled; `heard` tells when, on the
    monotonic clock, something came last."""
    task = asyncio.ensure_future(work)
    begun, silence = time.monotonic(), patience_seconds() * _SILENT_PART
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
    """What asks `command` or `query` for a sign of life."""
    ask = _commands_are_taken if service == "command" else _questions_are_answered

    async def asked() -> None:
        address = stubs.address_of(service)
        try:
            refusal = await ask(stubs)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                return
            refusal = _words(error)
        if refusal:
            raise NoSignOfLife(f"The {service} service on {address} {refusal}.")

    return asked


def _sign_seconds() -> float:
    return patience_seconds() * (1 - _SILENT_PART)


async def _commands_are_taken(stubs: Stubs) -> str:
    check = HealthCheckRequest(service=COMMANDS)
    stub: Any = HealthStub(stubs.channels["command"])  # its methods are made when it is
    answer = await stub.Check(check, timeout=_sign_seconds())
    serving = answer.status == HealthCheckResponse.SERVING
    return "" if serving else "takes no commands now: its database does not answer"


async def _questions_are_answered(stubs: Stubs) -> str:
    # Its health notices a store that hangs only after a while; the smallest question does at once.
    await stubs.queries.SearchOrders(SearchOrdersRequest(page_size=1), timeout=_sign_seconds())
    return ""


def sign_of_reading(stubs: Stubs) -> Callable[[], Awaitable[None]]:
    """What asks `query` for a sign of life, and whether what it reads gets any younger."""
    first: tuple[float, int] | None = None

    async def asked() -> None:
        nonlocal first
        await sign_of(stubs, "query")()
        info = (await stubs.queries.SearchOrders(SearchOrdersRequest(page_size=1), timeout=_sign_seconds())).read_info
        now, as_of = time.monotonic(), info.as_of.ToMicroseconds()
        if first is None or first[1] != as_of:
            first = (now, as_of)
        elif now - first[0] > patience_seconds() * (1 - _SILENT_PART):
            raise NoSignOfLife("The read side stands still: relay, NATS, projector or Elasticsearch does not go on")

    return asked


def _words(error: grpc.aio.AioRpcError) -> str:
    if error.code() is grpc.StatusCode.UNAVAILABLE and error.trailing_metadata():
        return f"cannot answer now: {error.details()}"
    if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return "does not answer"
    return ""  # it refused the question, so it is there
