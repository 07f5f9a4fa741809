"""Lets callers wait for their turn at a number of connections, in the order in which they came.

The pool can do that too, but with two locks, a condition and a task for each caller that waits. Whoever has a turn
finds a connection in the pool at once, unless the pool is just opening it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque

from psycopg_pool import PoolTimeout, TooManyRequests


class Turns:
    """At most `count` callers have a turn at the same time, and at most `most_waiting` others wait for one."""

    def __init__(self, count: int, most_waiting: int) -> None:
        self._free, self._most_waiting = count, most_waiting
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """How many callers wait."""
        return len(self._waiting)

    async def take(self, seconds: float) -> float:
        """Waits at most `seconds` for a turn, and returns how many seconds are left.

        Whoever has taken a turn must give it back. Raises PoolTimeout when no turn is free in time, TooManyRequests
        when too many callers wait.
        """
        if self._free:
            self._free -= 1
            return seconds
        if len(self._waiting) >= self._most_waiting:
            raise TooManyRequests(f"{len(self._waiting)} callers wait for a connection already")
        loop = asyncio.get_running_loop()
        begun, turn = time.monotonic(), loop.create_future()
        self._waiting.append(turn)
        timer = loop.call_later(seconds, self._give_up, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                with contextlib.suppress(ValueError):  # `give_back` has skipped it
                    self._waiting.remove(turn)
            elif turn.exception() is None:  # the turn came at the same moment
                self.give_back()
            raise
        finally:
            timer.cancel()
        return max(0.001, seconds - (time.monotonic() - begun))

    def give_back(self) -> None:
        """Gives a turn back, to the caller who has waited longest."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # else its caller was cancelled and does not know it yet
                turn.set_result(None)
                return
        self._free += 1

    def _give_up(self, turn: asyncio.Future[None]) -> None:
        if not turn.done():
            self._waiting.remove(turn)
            turn.set_exception(PoolTimeout("no connection became free in time"))
