"""A proxy before the database that goes silent, or breaks connections at any byte in either direction."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from tests.support.faults.database_proxy import before_database


class RoughWay:
    """Forwards chunks. With probability `cut` it forwards only a part of one and ends its connection."""

    def __init__(self, host: str, port: int, seed: int) -> None:
        self._host, self._port = host, port
        self._source = random.Random(seed)
        self._open = asyncio.Event()
        self._open.set()
        self._connections: set[asyncio.Task[None]] = set()
        self.cut = 0.0
        self.cuts = 0
        #: Called with each chunk from either side.
        self.heard: Callable[[bytes], object] = lambda _: None

    def fall_silent(self) -> None:
        """Forwards nothing from now on, and leaves new connections unanswered."""
        self._open.clear()

    def speak_again(self) -> None:
        """Forwards the chunks that were held back, and all later ones."""
        self._open.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection of a client."""
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            inner_reader, inner_writer = await asyncio.open_connection(self._host, self._port)
            pumps = [
                asyncio.create_task(self._pass_on(reader, inner_writer)),
                asyncio.create_task(self._pass_on(inner_reader, writer)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                inner_writer.transport.abort()
        writer.transport.abort()
        self._connections.discard(task)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(65_536):
                self.heard(piece)
                await self._open.wait()
                if self.cut and self._source.random() < self.cut:
                    self.cuts += 1
                    writer.write(piece[: self._source.randrange(len(piece))])
                    await writer.drain()
                    return
                writer.write(piece)
                await writer.drain()

    async def stop(self) -> None:
        """Ends every connection."""
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def rough_way(url: str, seed: int = 0) -> AbstractAsyncContextManager[tuple[RoughWay, str]]:
    """Yields the proxy before the database at `url`, and the URL through it."""
    return before_database(url, lambda host, port: RoughWay(host, port, seed))
