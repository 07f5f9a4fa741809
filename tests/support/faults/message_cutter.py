"""A proxy before the database that drops connections after N messages, as if the service had been killed there."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AbstractAsyncContextManager

from tests.support.faults.database_proxy import before_database

#: Codes of the requests for TLS and GSSAPI encryption.
_ENCRYPTION = (80877103, 80877104)


class MessageCutter:
    """Forwards `left` more messages of clients, all if it is None, and then drops every connection.

    It counts messages of PostgreSQL's protocol; a statement is about three of them (bind, describe, execute).
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self.left: int | None = None
        self.passed = 0
        self._writers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection of a client."""
        server_reader, server_writer = await asyncio.open_connection(self._host, self._port)
        mine = {writer, server_writer}
        self._writers |= mine
        answers = asyncio.create_task(self._answers(server_reader, writer))
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._requests(reader, server_writer)
        for end in mine:
            end.close()
        self._writers -= mine
        await answers

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kind = b""  # the first message has no type byte, nor has the one after a request for encryption
        while True:
            length = await reader.readexactly(4)
            body = await reader.readexactly(int.from_bytes(length, "big") - 4)
            if self.left == 0:
                self.drop()
                return
            if self.left is not None:
                self.left -= 1
            self.passed += 1
            writer.write(kind + length + body)
            await writer.drain()
            if kind or int.from_bytes(body[:4], "big") not in _ENCRYPTION:
                kind = await reader.readexactly(1)

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    def drop(self) -> None:
        """Ends every connection."""
        for writer in self._writers:
            writer.close()

    async def stop(self) -> None:
        """Ends every connection at the end of the test."""
        self.drop()


def message_cutter(url: str) -> AbstractAsyncContextManager[tuple[MessageCutter, str]]:
    """Yields the cutter before the database at `url`, and the URL through it."""
    return before_database(url, MessageCutter)
