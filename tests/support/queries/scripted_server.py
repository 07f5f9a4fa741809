"""A server whose answers a test writes byte by byte, one script for each request."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from query_service.storage.physical.http.client import HttpClient
from query_service.store_url import read_http_url


@dataclass(frozen=True)
class Asked:
    """A request: its first line's words, its headers by name in lower case, and the number of its connection."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


LONG = 20.0
Writer = asyncio.StreamWriter
#: Answers a request, or not. An answer may be followed by the end of the connection: `writer.close()`.
Script = Callable[[Asked, Writer], Awaitable[None]]


def answer(body: bytes, *, status: int = 200, **headers: str) -> bytes:
    """An answer of Elasticsearch with its length."""
    lines = {"x-elastic-product": "Elasticsearch", **{name.replace("_", "-"): text for name, text in headers.items()}}
    head = "".join(f"{name}: {text}\r\n" for name, text in lines.items() if text)
    return f"HTTP/1.1 {status} Said\r\n{head}content-length: {len(body)}\r\n\r\n".encode() + body


async def echo(asked: Asked, writer: Writer) -> None:
    """Answers with the target."""
    writer.write(answer(asked.target.encode()))


@dataclass
class ScriptedServer:
    """The server at `url`. It answers by `script`; `asked` are the requests so far."""

    url: str = ""
    script: Script = echo
    asked: list[Asked] = field(default_factory=list)
    opened: int = 0
    open_now: int = 0
    most_open: int = 0
    #: Set when a connection has ended.
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        """Serves a connection until the client ends it, or a script does."""
        self.opened += 1
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        number = self.opened
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
                method, target, _ = first.split(" ")
                headers = {name.lower(): text for name, _, text in (line.partition(": ") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.asked.append(Asked(method, target, headers, body, number))
                await self.script(self.asked[-1], writer)
        self.open_now -= 1
        self.ended.set()
        writer.close()


@asynccontextmanager
async def scripted(script: Script = echo, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[ScriptedServer]:
    """Runs a server within the block."""
    served = ScriptedServer(script=script)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(asyncio.CancelledError):  # the block has ended
            await served.serve(reader, writer)
        tasks.discard(task)
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    served.url = f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield served
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks)


@asynccontextmanager
async def client_of(url: str, *, seconds: float = LONG, connections: int = 4) -> AsyncIterator[HttpClient]:
    """A client of the server at `url`, closed after the block."""
    client = HttpClient(read_http_url(url), seconds=seconds, connections=connections, headers={"accept": "x"})
    try:
        yield client
    finally:
        await client.close()
