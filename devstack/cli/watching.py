"""Looking again and again until Ctrl-C or SIGTERM, as lines of JSON or on a screen."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from rich.console import RenderableType

Seen = TypeVar("Seen")


async def watch_as_lines(
    look: Callable[[], Awaitable[Seen]], document: Callable[[Seen], dict[str, Any]], every: float
) -> Seen:
    """One JSON document a line, `every` seconds after the look before; what was seen last."""

    def show(seen: Seen) -> None:
        sys.stdout.write(json.dumps(document(seen), default=str) + "\n")
        sys.stdout.flush()

    return await _watch(look, show, every)


async def watch_on_screen(
    look: Callable[[], Awaitable[Seen]], picture: Callable[[Seen], RenderableType], every: float, *, whole: bool
) -> Seen:
    """A picture that is drawn anew, on the `whole` screen or in place; what was seen last."""
    from rich.live import Live

    with Live(auto_refresh=False, screen=whole) as live:
        return await _watch(look, lambda seen: live.update(picture(seen), refresh=True), every)


async def _watch(look: Callable[[], Awaitable[Seen]], show: Callable[[Seen], None], every: float) -> Seen:
    """Looks and shows until a signal comes.

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
