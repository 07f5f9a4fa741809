"""Sends recorded requests to Elasticsearch without a service, by N concurrent callers with one request each.

`bare_loop` uses bare connections and reads the bytes of the answers: the least that the requests cost. `client_loop`
uses the services' own client, which parses the answers.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import orjson

from bench.harness.bare_http import BareHttp, prepared
from bench.harness.rounds import Figures
from bench.reads.read_side import elasticsearch
from bench.reads.request_recorder import Recorded


async def bare_loop(url: str, requests: Sequence[Recorded], calls: int, callers: int) -> Figures:
    """Sends every request once by `callers` callers over bare connections. `calls` share the requests, and the time."""
    ready = [prepared(one.method, one.path, one.body) for one in requests]
    parts = urlsplit(url)
    async with BareHttp(parts.hostname or "", parts.port or 0) as http:
        return await _loop(http.send, ready, calls, callers)


async def client_loop(url: str, requests: Sequence[Recorded], calls: int, callers: int) -> Figures:
    """Does the same by the services' client."""

    async with elasticsearch(url) as connection:

        async def send(ready: tuple[str, str, dict[str, str], Any]) -> None:
            method, path, params, body = ready
            await connection.request(method, path, params=params, body=body)

        return await _loop(send, [_for_the_client(one) for one in requests], calls, callers)


def _for_the_client(request: Recorded) -> tuple[str, str, dict[str, str], Any]:
    path, _, query = request.path.partition("?")
    params = dict(pair.split("=", 1) for pair in query.split("&")) if query else {}
    return request.method, path, params, orjson.loads(request.body) if request.body else None


async def _loop(send: Callable[[Any], Awaitable[Any]], requests: Sequence[Any], calls: int, callers: int) -> Figures:
    left, times = iter(requests), list[float]()

    async def caller() -> None:
        for request in left:
            started = time.perf_counter()
            await send(request)
            times.append(time.perf_counter() - started)

    await asyncio.gather(*(send(requests[0]) for _ in range(callers)))  # opens all connections
    started, worked = time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller() for _ in range(callers)))
    elapsed, worked = time.perf_counter() - started, time.process_time() - worked
    ranked = sorted(times)
    return {
        "us_per_call": 1e6 * elapsed / calls,
        "p50_ms": 1e3 * statistics.median(ranked),
        "p99_ms": 1e3 * ranked[int(0.99 * (len(ranked) - 1))],
        "client_cpu_us": 1e6 * worked / calls,
        "requests_per_call": len(requests) / calls,
    }
