"""Records the requests that a process sends to Elasticsearch, by a proxy between them.

So a bench knows the requests without any code of the process, whichever client sends them.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from aiohttp import ClientSession, web

from devstack.servers.ports import HOST, free_port


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recorded request. `path` includes the parameters; `body` is as it was sent, empty if the request had none."""

    method: str
    path: str
    body: bytes = b""


@dataclass(slots=True)
class Recorder:
    """The proxy at `url`, and the `requests` recorded so far: those whose path ends with `suffix`.

    `most_unanswered` is how many of them were under way at the same time, at most.
    """

    url: str
    suffix: str
    requests: list[Recorded] = field(default_factory=list)
    unanswered: int = 0
    most_unanswered: int = 0

    def forget(self) -> None:
        """Forgets what was recorded."""
        self.requests.clear()
        self.most_unanswered = 0


@contextlib.asynccontextmanager
async def recording(elasticsearch_url: str, suffix: str) -> AsyncIterator[Recorder]:
    """Runs a proxy for the server at `elasticsearch_url` within the block."""
    port = free_port()
    recorder = Recorder(f"http://{HOST}:{port}", suffix)
    async with ClientSession(skip_auto_headers=("Accept-Encoding",)) as session:

        async def forward(request: web.Request) -> web.Response:
            if not request.path.endswith(suffix):
                return await answer_of(request, await request.read())
            body = await request.read()
            recorder.requests.append(Recorded(request.method, request.path_qs, body))
            recorder.unanswered += 1
            recorder.most_unanswered = max(recorder.most_unanswered, recorder.unanswered)
            try:
                return await answer_of(request, body)
            finally:
                recorder.unanswered -= 1

        async def answer_of(request: web.Request, body: bytes) -> web.Response:
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
