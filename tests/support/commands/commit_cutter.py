"""A way to the database that breaks at the worst moment: behind a COMMIT, before its answer."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AbstractAsyncContextManager

from tests.support.faults.database_proxy import before_database


class Cutter:
    """A proxy that passes everything on, but cuts a connection instead of passing the answer to its COMMIT."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self.cuts_left = 0
        self.cut = 0
        self.silent = False  # swallow the answer, and what follows, and keep the connection open
        self._connections: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client."""
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            server_reader, server_writer = await asyncio.open_connection(self._host, self._port)
        except (OSError, asyncio.CancelledError):  # the server is away, or `stop`: so is this way to it
            writer.close()
            self._connections.discard(task)
            return
        pumps = [
            asyncio.create_task(self._requests(reader, server_writer)),
            asyncio.create_task(self._answers(server_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:  # by `stop`; a task of a stream server that ends cancelled is logged as a fault
            pass
        finally:
            # Before anything is awaited: a cancel may come here too.
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
            # Only the server's answer names a COMMIT for sure: the client may have prepared it under another name.
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
    """The next bytes; none when the connection ended, however it did."""
    with contextlib.suppress(ConnectionError):
        return await reader.read(65_536)
    return b""


def cutter(url: str) -> AbstractAsyncContextManager[tuple[Cutter, str]]:
    """The proxy before the database at `url`, and the URL through it."""
    return before_database(url, Cutter)
