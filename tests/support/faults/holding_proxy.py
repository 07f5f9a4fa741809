"""A TCP proxy that stops passing data on after a given number of bytes, until it is released."""

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
        self._held, self._open = asyncio.Event(), asyncio.Event()
        self._open.set()

    def hold_after(self, passed: int) -> None:
        """Holds everything that comes after so many more bytes."""
        self._limit = self.passed + passed
        self._held.clear()
        self._open.clear()

    async def held(self) -> None:
        """Waits until the proxy holds something."""
        await self._held.wait()

    def release(self) -> None:
        """Passes on what is held, and everything after it."""
        self._limit = None
        self._open.set()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(65_536):
                self.passed += len(piece)
                if self._limit is not None and self.passed > self._limit:
                    self._held.set()
                    await self._open.wait()
                writer.write(piece)
                await writer.drain()
