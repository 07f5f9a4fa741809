"""Wakes the readers in this process that wait for an order.

A notice is only a hint to read the store again. A reader registers before its first read, so no change between the read
and the wait is missed. It also reads again from time to time, because notices may be lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from typing import Any


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

    def waiting(self, order_ids: Collection[str]) -> Registration:
        """Registers a reader for notices of any of these orders, for the time of a `with` block."""
        return Registration(self, order_ids)

    def add(self, wake: Wake, order_ids: Collection[str]) -> None:
        """Registers a reader for these orders."""
        self._readers += 1
        for order_id in order_ids:
            wakes = self._waiting.get(order_id)
            if wakes is None:
                self._waiting[order_id] = {wake}
            else:
                wakes.add(wake)

    def remove(self, wake: Wake, order_ids: Collection[str]) -> None:
        """Removes a reader that was registered for these orders. An order may be among them twice."""
        self._readers -= 1
        for order_id in order_ids:
            wakes = self._waiting.get(order_id)
            if wakes is not None:
                wakes.discard(wake)
                if not wakes:
                    del self._waiting[order_id]

    def announce(self, order_ids: Iterable[str]) -> None:
        """Wakes the readers that wait for any of these orders."""
        for order_id in order_ids:
            for wake in self._waiting.get(order_id, ()):
                wake.ring()


class Registration:
    """Keeps a reader on the board for the time of a `with` block. It is no generator, because each look-up has one."""

    __slots__ = ("_board", "_order_ids", "_wake")

    def __init__(self, board: NoticeBoard, order_ids: Collection[str]) -> None:
        self._board, self._order_ids, self._wake = board, order_ids, Wake()

    def __enter__(self) -> Wake:
        self._board.add(self._wake, self._order_ids)
        return self._wake

    def __exit__(self, *_: Any) -> None:
        self._board.remove(self._wake, self._order_ids)
