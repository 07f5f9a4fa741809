"""Runs tests of waiting without real waits: an idle loop's clock jumps to the next timer."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Awaitable, Callable
from typing import ParamSpec

_P = ParamSpec("_P")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop whose clock stands still while callbacks run, except in `stand_still`.

    It raises RuntimeError when every task waits and no timer is set, because then nothing can ever happen.
    """

    def __init__(self) -> None:
        super().__init__(_Jumping(self))
        self._seconds = 0.0

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._seconds

    def stand_still(self, seconds: float) -> None:
        """Lets time pass while nothing else runs in this process."""
        self._seconds += seconds


class _Jumping(selectors.DefaultSelector):
    """A selector that advances the clock instead of waiting for a timer."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("every task waits, and no timer is set")
            self._loop.stand_still(max(0.0, timeout))
        return ready


def in_virtual_time(test: Callable[_P, Awaitable[None]]) -> Callable[_P, None]:
    """Runs an asynchronous test in its own loop, in which waits take no time."""

    @functools.wraps(test)
    def run(*arguments: _P.args, **named: _P.kwargs) -> None:
        async def begun() -> None:
            await test(*arguments, **named)

        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(begun())

    return run
