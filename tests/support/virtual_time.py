"""Tests of waiting that wait for nothing: the loop's clock jumps to the next timer whenever there is nothing to do."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Awaitable, Callable
from typing import ParamSpec

_P = ParamSpec("_P")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop whose clock stands still while callbacks run; `stand_still` is the exception.

    RuntimeError when all wait and no timer is set: without threads, processes and servers nothing could come.
    """

    def __init__(self) -> None:
        super().__init__(_Jumping(self))
        self._seconds = 0.0

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._seconds

    def stand_still(self, seconds: float) -> None:
        """Time passes, and nothing in this process gets to work."""
        self._seconds += seconds


class _Jumping(selectors.DefaultSelector):
    """Instead of waiting for a timer it lets the time pass at once."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("everybody waits, and nobody for a time")
            self._loop.stand_still(max(0.0, timeout))
        return ready


def in_virtual_time(test: Callable[_P, Awaitable[None]]) -> Callable[_P, None]:
    """Runs an asynchronous test in a loop of its own whose waits take no time."""

    @functools.wraps(test)
    def run(*arguments: _P.args, **named: _P.kwargs) -> None:
        async def begun() -> None:
            await test(*arguments, **named)

        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(begun())

    return run
