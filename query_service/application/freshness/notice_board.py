"""Wakes the readers in this process that wait for an order.

A notice is only a hint to read the store again. A reader registers before its first read, so no change between the read
and the wait is missed. It also reads again from time to time, because notices may be lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager


class Wake:
    """Lets one reader wait for notices."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wakes the reader, now or at its next wait."""
        self._event.set()

    async def wait(self, seconds: float) -> bool:
        """Waits up to `seconds` for a notice. Returns whether there was one since the previous wait ended."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True


class NoticeBoard:
    """Keeps the waiting readers by order id. Its length is the number of readers."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[Wake]] = {}
        self._readers = 0

    def __len__(self) -> int:
        return self._readers

    @contextmanager
    def waiting(self, order_ids: Collection[str]) -> Iterator[Wake]:
        """Registers a reader for notices of any of these orders, for the time of the block."""
        wake = Wake()
        self._readers += 1
        for order_id in order_ids:
            self._waiting.setdefault(order_id, set()).add(wake)
        try:
            yield wake
        finally:
            self._readers -= 1
            for order_id in set(order_ids):
                wakes = self._waiting[order_id]
                wakes.discard(wake)
                if not wakes:
                    del self._waiting[order_id]

    def announce(self, order_ids: Iterable[str]) -> None:
        """Wakes the readers that wait for any of these orders."""
        for order_id in order_ids:
            for wake in self._waiting.get(order_id, ()):
                wake.ring()
