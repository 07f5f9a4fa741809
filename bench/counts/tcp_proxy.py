"""Passes TCP connections on to a server, and shows the bytes of both directions to a tap.

The proxy changes nothing and holds nothing back, so that a service behaves as it does without it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from devstack.servers.ports import HOST

#: Where `struct tcp_info` of Linux has `tcpi_data_segs_in`, the segments with data that have arrived.
_DATA_SEGMENTS = struct.Struct("152x I")


class Tap(Protocol):
    """Looks at one connection's bytes, in pieces of any size."""

    def sent(self, data: bytes) -> None:
        """Takes bytes from the client."""

    def received(self, data: bytes) -> None:
        """Takes bytes from the server."""


AnyTap = TypeVar("AnyTap", bound=Tap)


class _End(asyncio.Protocol):
    """One end of a passed connection. It shows its bytes to the tap, and passes them on to the other end."""

    def __init__(self, show: Callable[[bytes], None]) -> None:
        self._show = show
        self._other: asyncio.WriteTransport | None = None
        self._transport: asyncio.Transport | None = None
        self._segments: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def join(self, other: asyncio.WriteTransport) -> None:
        """Passes bytes on to `other` from now on."""
        self._other = other
        if self._transport is not None:
            self._transport.resume_reading()

    def close(self) -> None:
        """Closes the connection."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._show(data)
        assert self._other is not None
        self._other.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._segments, self._transport = self.segments(), None
        if self._other is not None:
            self._other.close()

    def segments(self) -> int | None:
        """Returns how many TCP segments with data have arrived; None where the system does not tell."""
        line = None if self._transport is None else self._transport.get_extra_info("socket")
        if line is None or not hasattr(socket, "TCP_INFO"):
            return self._segments
        told = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        return int(_DATA_SEGMENTS.unpack_from(told)[0]) if len(told) >= _DATA_SEGMENTS.size else None


@dataclass(frozen=True, slots=True)
class Passed(Generic[AnyTap]):
    """A passed connection: its tap, and the ends towards client and server."""

    tap: AnyTap
    client: _End
    server: _End

    def sends(self) -> int | None:
        """Returns how often the client has sent; None where the system does not count segments.

        Over the loopback interface a `send` of a few kB is one segment, because clients switch off Nagle's delay. One
        that does not fit into the window may be more, and none is ever less.
        """
        return self.client.segments()


class TcpProxy(Generic[AnyTap]):
    """A proxy at `port`, and the connections that it has passed so far, each with a tap of its own."""

    def __init__(self, tap: Callable[[], AnyTap]) -> None:
        self._tap = tap
        self.port = 0
        self.passed: list[Passed[AnyTap]] = []

    @contextlib.asynccontextmanager
    async def passing_to(self, host: str, port: int) -> AsyncIterator[None]:
        """Passes connections on to a server within the block. At its end all connections are closed."""
        joining: set[asyncio.Task[None]] = set()

        def accept() -> _End:
            tap = self._tap()
            passed = Passed(tap, _Client(tap.sent, lambda client: begin(passed, client)), _End(tap.received))
            self.passed.append(passed)
            return passed.client

        def begin(passed: Passed[AnyTap], client: asyncio.Transport) -> None:
            task = asyncio.ensure_future(_join(passed, client, host, port))
            joining.add(task)
            task.add_done_callback(joining.discard)

        server = await asyncio.get_running_loop().create_server(accept, HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for passed in self.passed:
                passed.client.close()
            await asyncio.gather(*joining, return_exceptions=True)


class _Client(_End):
    """The end towards a client, whose bytes stay unread until the server is connected."""

    def __init__(self, show: Callable[[bytes], None], begin: Callable[[asyncio.Transport], None]) -> None:
        super().__init__(show)
        self._begin = begin

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        self._begin(transport)


async def _join(passed: Passed[AnyTap], client: asyncio.Transport, host: str, port: int) -> None:
    """Connects the server and joins both ends. If it cannot be reached, the client's connection is closed."""
    try:
        server, _ = await asyncio.get_running_loop().create_connection(lambda: passed.server, host, port)
    except OSError:
        client.close()
        return
    passed.server.join(client)
    passed.client.join(server)
