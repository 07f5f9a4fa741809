"""A way to the database that ends after so many messages, as if the service had been killed right there."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AbstractAsyncContextManager

from tests.support.faults.database_proxy import before_database

#: Codes of the questions for TLS and GSSAPI.
_ENCRYPTION = (80877103, 80877104)


class MessageCutter:
    """Passes `left` more messages of clients to the server, all when it is None, and then drops every connection.

    The unit is a message of PostgreSQL's protocol: a statement is three of them or so (bind, describe, execute).
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self.left: int | None = None
        self.passed = 0
        self._writers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client."""
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
        kind = b""  # the first message has none, nor has the one behind the question for encryption
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
        """The same, at the end."""
        self.drop()


def message_cutter(url: str) -> AbstractAsyncContextManager[tuple[MessageCutter, str]]:
    """The cutter before the database at `url`, and the URL through it."""
    return before_database(url, MessageCutter)
