"""Looking again and again until Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

Seen = TypeVar("Seen")


async def watch(look: Callable[[], Awaitable[Seen]], show: Callable[[Seen], None], every: float) -> Seen:
    """Shows what `look` sees, `every` seconds after the look before, until a signal comes; what was seen last.

    SIGINT is asked for: a process that was started in the background ignores it otherwise, and is never interrupted.
    """
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    while True:
        seen = await look()
        show(seen)
        try:
            await asyncio.wait_for(stop.wait(), every)
        except TimeoutError:
            continue
        return seen
