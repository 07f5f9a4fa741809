"""Wakes readers that wait for an order, in this process.

A notice is only a hint to look again. Whoever waits is registered before looking for the first time, so no change
between the look and the wait goes unnoticed, and also looks again on his own from time to time, since hints may get
lost on their way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager


class Wake:
    """One reader's place to wait."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """There may be news."""
        self._event.set()

    async def wait(self, seconds: float) -> bool:
        """Returns at the next notice, also one since the last wait, or after `seconds`; whether there was a notice."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True


class NoticeBoard:
    """Who waits for which orders."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[Wake]] = {}
        self._readers = 0

    def __len__(self) -> int:
        return self._readers

    @contextmanager
    def waiting(self, order_ids: Collection[str]) -> Iterator[Wake]:
        """A place to wait for news of any of these orders, within the block."""
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
        """There may be news of these orders."""
        for order_id in order_ids:
            for wake in self._waiting.get(order_id, ()):
                wake.ring()
