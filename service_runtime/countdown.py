"""Provides a timer for the patience with a peer. It counts only time in which this process itself is running."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

#: If the process does not run for a while, however long, the countdown loses at most one of these steps.
STEPS = 8


class Countdown:
    """Calls `on_end` once, after `seconds` in which the event loop ran. Needs a running event loop.

    A process that is stopped or overloaded does not read what its peers send. A plain timer would expire meanwhile, and
    the silence would seem to be the peers' fault.
    """

    def __init__(self, seconds: float, on_end: Callable[[], None]) -> None:
        self._step, self._on_end = seconds / STEPS, on_end
        self._left = STEPS
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(self._step, self._count)

    def _count(self) -> None:
        self._left -= 1
        if self._left:
            self._timer = self._loop.call_later(self._step, self._count)
        else:
            self._on_end()

    def cancel(self) -> None:
        """Stops the countdown; `on_end` is not called."""
        self._timer.cancel()
