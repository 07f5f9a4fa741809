"""A proxy before the database that breaks a connection at the worst moment: after COMMIT, before its answer."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AbstractAsyncContextManager

from tests.support.faults.database_proxy import before_database


class Cutter:
    """Forwards everything, but cuts a connection instead of forwarding the answer to its COMMIT."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self.cuts_left = 0
        self.cut = 0
        self.silent = False  # drop the answer and what follows, and keep the connection open
        self._connections: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection of a client."""
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            server_reader, server_writer = await asyncio.open_connection(self._host, self._port)
        except (OSError, asyncio.CancelledError):  # the server is down, or `stop` was called
            writer.close()
            self._connections.discard(task)
            return
        pumps = [
            asyncio.create_task(self._requests(reader, server_writer)),
            asyncio.create_task(self._answers(server_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:  # by `stop`; asyncio would log a cancelled stream task as a fault
            pass
        finally:
            # Before the first await, because a cancel may arrive here too.
            for end in (writer, server_writer):
                end.close()
            self._connections.discard(task)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await _read(reader):
            writer.write(data)
            await writer.drain()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        swallowing = False
        while data := await _read(reader):
            # Only the server's answer reliably shows a COMMIT: the client may have prepared it under another name.
            if self.cuts_left and b"COMMIT\x00" in data:
                self.cuts_left -= 1
                self.cut += 1
                if not self.silent:
                    return
                swallowing = True
            if not swallowing:
                writer.write(data)
                await writer.drain()

    async def stop(self) -> None:
        """Ends every connection."""
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)


async def _read(reader: asyncio.StreamReader) -> bytes:
    """Reads the next bytes; b"" when the connection ended in any way."""
    with contextlib.suppress(ConnectionError):
        return await reader.read(65_536)
    return b""


def cutter(url: str) -> AbstractAsyncContextManager[tuple[Cutter, str]]:
    """Yields the proxy before the database at `url`, and the URL through it."""
    return before_database(url, Cutter)
