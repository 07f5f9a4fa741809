"""How often a client sends, as the proxy tells it."""

from __future__ import annotations

import asyncio
import random
import sys

import pytest

from bench.counts.tcp_proxy import TcpProxy
from devstack.servers.ports import HOST


class Deaf:
    """A tap that looks at nothing."""

    def sent(self, data: bytes) -> None:
        """Takes bytes from the client."""

    def received(self, data: bytes) -> None:
        """Takes bytes from the server."""


class Echo(asyncio.Protocol):
    """A server's end of a connection, which returns what it gets."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts the segments of a connection")
async def test_each_send_is_counted_once() -> None:
    server = await asyncio.get_running_loop().create_server(Echo, HOST, 0)
    proxy = TcpProxy(Deaf)
    counted: dict[int, list[int]] = {}
    async with server, proxy.passing_to(HOST, server.sockets[0].getsockname()[1]):
        for number in range(200):
            reader, writer = await asyncio.open_connection(HOST, proxy.port)
            sizes = random.Random(number).choices((1, 60, 900), k=1 + number % 20)
            for size in sizes:
                writer.write(bytes(size))  # one `send` each, because the socket has room for all of it
            await reader.readexactly(sum(sizes))
            sends = proxy.passed[-1].sends()
            assert sends is not None
            counted.setdefault(len(sizes), []).append(sends)
            writer.close()
            await writer.wait_closed()
    # On a busy machine a segment is now and then sent again, so the least of several counts is the count.
    assert {made: min(found) for made, found in counted.items()} == {made: made for made in range(1, 21)}
