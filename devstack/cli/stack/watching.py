"""Observes something again and again until Ctrl-C or SIGTERM, as lines of JSON or on a screen."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from devstack.cli.terminal import Picture, live_picture, say_json_line

Seen = TypeVar("Seen")


async def watch_as_lines(
    look: Callable[[], Awaitable[Seen]], document: Callable[[Seen], dict[str, Any]], every: float
) -> Seen:
    """Prints one JSON document per line, `every` seconds after the last one; returns what was seen last."""
    return await _watch(look, lambda seen: say_json_line(document(seen)), every)


async def watch_on_screen(
    look: Callable[[], Awaitable[Seen]], picture: Callable[[Seen], Picture], every: float, *, whole: bool
) -> Seen:
    """Draws a picture again and again, on the `whole` screen or in place; returns what was seen last."""
    with live_picture(whole=whole) as draw:
        return await _watch(look, lambda seen: draw(picture(seen)), every)


async def _watch(look: Callable[[], Awaitable[Seen]], show: Callable[[Seen], None], every: float) -> Seen:
    """Observes and shows until a signal arrives.

    It requests SIGINT: a process that was started in the background ignores it otherwise, and is never interrupted.
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
