"""Waits until another process has done its part, and logs what the wait is for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

_log = structlog.get_logger(__name__)


async def wait_until_fine(
    problem: Callable[[], Awaitable[str | None]], stop: asyncio.Event, *, every_seconds: float = 1.0
) -> bool:
    """Calls `problem` every `every_seconds` until it returns None, and returns True then. Logs each new problem once.

    Returns False at once if `stop` is set first.
    """
    asking = asyncio.create_task(_ask(problem, every_seconds))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({asking, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if asking.done():
            asking.result()
            return True
        return False
    finally:
        for task in (asking, stopping):
            task.cancel()
        await asyncio.gather(asking, stopping, return_exceptions=True)


async def _ask(problem: Callable[[], Awaitable[str | None]], every_seconds: float) -> None:
    told: str | None = None
    while (reason := await problem()) is not None:
        if reason != told:
            _log.info("waiting", reason=reason)
            told = reason
        await asyncio.sleep(every_seconds)
