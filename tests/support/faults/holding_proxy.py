"""A TCP proxy that stops passing data on, after a given number of bytes or at a text, until it is released."""

from __future__ import annotations

import asyncio
import contextlib
import random

from tests.support.faults.delaying_proxy import DelayingProxy


class HoldingProxy(DelayingProxy):
    """Forwards to `target` (`HOST:PORT`). `passed` counts the bytes of both directions."""

    def __init__(self, target: str) -> None:
        super().__init__(target, random.Random(0))
        self.passed = 0
        self._limit: int | None = None
        self._text: bytes | None = None
        self._held, self._open = asyncio.Event(), asyncio.Event()
        self._open.set()

    def hold_after(self, passed: int) -> None:
        """Holds everything that comes after so many more bytes."""
        self._limit = self.passed + passed
        self._held.clear()
        self._open.clear()

    def hold_at(self, text: bytes) -> None:
        """Holds the next piece of data that contains the text, and everything that comes after it."""
        self._text = text
        self._held.clear()
        self._open.clear()

    async def held(self) -> None:
        """Waits until the proxy holds something."""
        await self._held.wait()

    def release(self) -> None:
        """Passes on what is held, and everything after it."""
        self._limit = self._text = None
        self._open.set()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(65_536):
                self.passed += len(piece)
                if self._reached(piece):
                    self._held.set()
                if self._held.is_set():
                    await self._open.wait()
                writer.write(piece)
                await writer.drain()

    def _reached(self, piece: bytes) -> bool:
        if self._text is not None:
            return self._text in piece
        return self._limit is not None and self.passed > self._limit
