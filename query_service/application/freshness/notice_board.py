"""Wakes the readers of this process that wait for an order.

A notice is only a hint to read again. A reader registers before its first read, so no change between read and wait is
missed. It also reads again at intervals, because notices may get lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager


class Wake:
    """The place where one reader waits."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Signals that there may be news."""
        self._event.set()

    async def wait(self, seconds: float) -> bool:
        """Waits for the next notice, or one since the last wait, or `seconds`; returns whether there was a notice."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True


class NoticeBoard:
    """The readers that wait, by order."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[Wake]] = {}
        self._readers = 0

    def __len__(self) -> int:
        return self._readers

    @contextmanager
    def waiting(self, order_ids: Collection[str]) -> Iterator[Wake]:
        """Registers a reader for news of any of these orders during the block."""
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
        """Wakes the readers of these orders."""
        for order_id in order_ids:
            for wake in self._waiting.get(order_id, ()):
                wake.ring()
