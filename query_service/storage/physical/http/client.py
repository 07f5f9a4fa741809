"""Sends requests to one server over a pool of connections.

A request is sent once. The only exception is one that may be repeated (GET, PUT, DELETE) on a connection that was idle:
when the server closed it just then, without a byte of an answer, the request is sent once more on a new connection. A
POST is not, because the server may have done what it asks for. Neither is a request that its caller wants sent `once`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable
from typing import TypeVar

import certifi

from query_service.storage.physical.http.answers import HttpAnswer
from query_service.storage.physical.http.connection import Connection, untouched
from query_service.storage.physical.http.errors import NoAnswer
from query_service.store_url import HttpAddress

Result = TypeVar("Result")
#: A connection that was idle for longer is not used again: something between may have forgotten it without a word.
IDLE_SECONDS = 15.0
CLOSED = "the client is closed"
#: Methods for which a request may arrive twice.
REPEATABLE = frozenset({"GET", "PUT", "DELETE"})


class HttpClient:
    """Sends requests over at most `connections` connections; more requests wait for one.

    `seconds` is the most time for a request, with all its waiting. `headers` are sent with each request.
    """

    def __init__(self, address: HttpAddress, *, seconds: float, connections: int, headers: dict[str, str]) -> None:
        self._address, self._seconds, self._late = address, seconds, f"no answer within {seconds:g} s"
        self._tls = _tls() if address.tls else None
        self._places = asyncio.Semaphore(connections)
        #: Idle connections, the one used last at the end.
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._closed = False
        own = {"host": address.netloc, "authorization": address.authorization, **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in own.items() if value)
        self._first, self._rest = address.path.encode(), b" HTTP/1.1\r\n" + lines.encode()

    async def request(
        self, method: str, target: str, body: bytes = b"", content_type: str = "", *, once: bool = False
    ) -> HttpAnswer:
        """Returns the answer to a request. `target` is a path with its query, percent-encoded. Raises NoAnswer."""
        head = self._head(method, target, len(body), content_type)
        deadline = asyncio.get_running_loop().time() + self._seconds
        if self._places.locked():
            await self._before(deadline, self._places.acquire())
        else:
            await self._places.acquire()
        try:
            connection = self._taken()
            if connection is not None:
                try:
                    return await self._exchanged(connection, head, body, deadline)
                except NoAnswer as error:
                    if once or method not in REPEATABLE or not untouched(error):
                        raise
            connection = await self._before(deadline, self._connected())
            return await self._exchanged(connection, head, body, deadline)
        finally:
            self._places.release()

    async def close(self) -> None:
        """Closes all connections for good. Requests under way get no answer."""
        self._closed = True
        for connection in self._open:
            connection.abort()
        if self._open:
            await asyncio.wait([connection.ended for connection in self._open])

    async def _before(self, deadline: float, waited_for: Awaitable[Result]) -> Result:
        """Returns the result. Raises NoAnswer at the deadline. An exchange needs no such block: it has a timer."""
        try:
            async with asyncio.timeout_at(deadline):
                return await waited_for
        except TimeoutError:
            raise NoAnswer(self._late) from None

    async def _exchanged(self, connection: Connection, head: bytes, body: bytes, deadline: float) -> HttpAnswer:
        try:
            answer = await connection.send(head, body, deadline)
        except BaseException:
            # Also when this caller was cancelled: the answer may still arrive, and must not become another's.
            connection.abort()
            raise
        if connection.usable:
            self._idle.append(connection)
        return answer

    def _taken(self) -> Connection | None:
        """Returns the idle connection that was used last, or None. The others have been idle for longer."""
        oldest = asyncio.get_running_loop().time() - IDLE_SECONDS
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                if connection.idle_since >= oldest:
                    return connection
                connection.abort()
        return None

    async def _connected(self) -> Connection:
        host, port = self._address.host, self._address.port
        if self._closed:
            raise NoAnswer(CLOSED)
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: Connection(self._late), host, port, ssl=self._tls, happy_eyeballs_delay=0.25
            )
        except OSError as error:
            raise NoAnswer(f"cannot connect to {self._address.netloc}: {error}") from None
        if self._closed:
            connection.abort()
            raise NoAnswer(CLOSED)
        if not connection.usable:  # the server spoke or closed before any request
            connection.abort()
            raise NoAnswer("the server ended the connection at once")
        self._open.add(connection)
        connection.ended.add_done_callback(lambda _: self._open.discard(connection))
        return connection

    def _head(self, method: str, target: str, length: int, content_type: str) -> bytes:
        if not target.isascii() or not target.isprintable() or " " in target:
            raise ValueError(f"the target must be percent-encoded: {target!r}")
        about = f"content-type: {content_type}\r\n" if content_type else ""
        if length or method not in ("GET", "DELETE"):
            about += f"content-length: {length}\r\n"
        return b"%b %b%b%b%b\r\n" % (method.encode(), self._first, target.encode(), self._rest, about.encode())


def _tls() -> ssl.SSLContext:
    """Returns the terms of TLS: 1.2 or later, with a certificate of an authority that the system or certifi trusts."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(certifi.where())
    return context
