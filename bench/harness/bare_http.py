"""Sends HTTP/1.1 requests over bare keep-alive connections: the least that a client of Elasticsearch can cost."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from devstack.servers.ports import HOST

_HEAD_END = b"\r\n\r\n"


class BareHttp:
    """Connections to the server at `host` and `port`, one for each request under way. `async with` closes them."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._idle = list[_Connection]()

    async def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Sends a request, as `prepared` makes it. Returns the body of the answer.

        Raises RuntimeError if the status is not 2xx, and ConnectionError if the server closes the connection.
        """
        return await self.send(prepared(method, path, body))

    async def send(self, request: bytes) -> bytes:
        """Sends a request that is `prepared`. Returns and raises as `request`."""
        connection = self._idle.pop() if self._idle else await self._connect()
        status, answer = await connection.send(request)
        self._idle.append(connection)
        if not 200 <= status < 300:
            line = request.split(b" HTTP", 1)[0].decode()
            raise RuntimeError(f"{line}: {status} {answer[:300].decode()}")
        return answer

    async def _connect(self) -> _Connection:
        _, connection = await asyncio.get_running_loop().create_connection(_Connection, self._host, self._port)
        return connection

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in self._idle:
            connection.close()


def prepared(method: str, path: str, body: bytes = b"") -> bytes:
    """Returns the bytes of a request whose body is JSON or lines of JSON."""
    head = f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\n"
    if body:
        head += f"Content-Type: application/x-ndjson\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n".encode() + body


class _Connection(asyncio.Protocol):
    """One connection, with one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answered: asyncio.Future[tuple[int, bytes]] | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        answer = _answer(self._received)
        if answer is not None and self._answered is not None and not self._answered.done():
            self._received = b""
            self._answered.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(ConnectionError("the server closed the connection"))

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Sends a whole request. Returns the status and the body of the answer."""
        assert self._transport is not None
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answered

    def close(self) -> None:
        """Closes the connection."""
        assert self._transport is not None
        self._transport.close()


def _answer(received: bytes) -> tuple[int, bytes] | None:
    """Returns the status and the body of an answer, or None while it is not complete."""
    end = received.find(_HEAD_END)
    if end < 0:
        return None
    head, body = received[:end].lower(), received[end + len(_HEAD_END) :]
    status = int(head[9:12])
    found = head.find(b"\r\ncontent-length:")
    if found >= 0:
        size = int(head[found + 17 :].split(b"\r\n", 1)[0])
        return (status, body) if len(body) >= size else None
    joined = _joined(body)
    return None if joined is None else (status, joined)


def _joined(chunks: bytes) -> bytes | None:
    """Returns a body that was sent in chunks, or None while it is not complete."""
    body, at = b"", 0
    while (line := chunks.find(b"\r\n", at)) >= 0:
        size = int(chunks[at:line].split(b";", 1)[0], 16)
        if size == 0:
            return body if chunks.endswith(_HEAD_END) else None
        at = line + 2 + size + 2
        body += chunks[line + 2 : at - 2]
    return None
