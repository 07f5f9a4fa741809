"""Waits for what another process brings about, and says what it waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

_log = structlog.get_logger(__name__)


async def wait_until_fine(
    problem: Callable[[], Awaitable[str | None]], stop: asyncio.Event, *, every_seconds: float = 1.0
) -> bool:
    """Asks `problem` until it returns None; each new answer is logged once. False when `stop` was set before."""
    told: str | None = None
    while (reason := await problem()) is not None:
        if reason != told:
            _log.info("waiting", reason=reason)
            told = reason
        try:
            async with asyncio.timeout(every_seconds):
                await stop.wait()
        except TimeoutError:
            continue
        return False
    return True
