"""Lets those that want the same kind of request at the same time share one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class SharedRequests:
    """Has one request under way at a time. What is added meanwhile shares the next one.

    `send` sends one request for all the texts that were added.
    """

    def __init__(self, send: Callable[[list[bytes]], Awaitable[None]]) -> None:
        self._send, self._next, self._turn = send, list[bytes](), asyncio.Lock()

    async def add(self, text: bytes) -> None:
        """Returns when a request that began after this call, with `text` in it, has been answered."""
        batch = self._next
        batch.append(text)
        async with self._turn:
            if batch is self._next:  # none of those that share it has sent it
                self._next = []
                await self._send(batch)
