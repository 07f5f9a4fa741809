"""Records the requests that a process sends to Elasticsearch, by a proxy between them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import ClientSession, web

from devstack.servers.ports import HOST, free_port


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recorded request. `body` is the parsed JSON, or None if the request had no body."""

    method: str
    path: str
    params: Mapping[str, str]
    body: Any


@dataclass(slots=True)
class Recorder:
    """The proxy at `url`, and the `requests` recorded so far: those whose path ends with `suffix`."""

    url: str
    suffix: str
    requests: list[Recorded] = field(default_factory=list)


@contextlib.asynccontextmanager
async def recording(elasticsearch_url: str, suffix: str) -> AsyncIterator[Recorder]:
    """Runs a proxy for the server at `elasticsearch_url` within the block."""
    port = free_port()
    recorder = Recorder(f"http://{HOST}:{port}", suffix)
    async with ClientSession(skip_auto_headers=("Accept-Encoding",)) as session:

        async def forward(request: web.Request) -> web.Response:
            body = await request.read()
            if request.path.endswith(suffix):
                sent = orjson.loads(body) if body else None
                recorder.requests.append(Recorded(request.method, request.path, dict(request.query), sent))
            headers = {name: request.headers[name] for name in ("accept", "content-type") if name in request.headers}
            async with session.request(
                request.method, f"{elasticsearch_url}{request.path_qs}", data=body, headers=headers
            ) as answer:
                kept = {
                    name: answer.headers[name]
                    for name in ("content-type", "x-elastic-product")
                    if name in answer.headers
                }
                return web.Response(status=answer.status, body=await answer.read(), headers=kept)

        application = web.Application(client_max_size=1 << 24)
        application.router.add_route("*", "/{any:.*}", forward)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, port).start()
            yield recorder
        finally:
            await runner.cleanup()
