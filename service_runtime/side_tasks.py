"""Runs tasks beside a service's calls. A fault in one is logged, counted and retried, and never ends the process."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import structlog

from service_runtime.backoff import Backoff
from service_runtime.process import cancel

_log = structlog.get_logger(__name__)
#: The pause after the first fault, in seconds; it doubles with each that follows soon, up to the longest.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0


@asynccontextmanager
async def side_tasks(
    work: Mapping[str, Callable[[], Awaitable[None]]], on_fault: Callable[[str], None]
) -> AsyncIterator[None]:
    """Runs each piece of `work` during the block and cancels it at the end.

    `on_fault` gets the names of those that failed.
    """
    tasks = [asyncio.create_task(kept_going(name, one, on_fault)) for name, one in work.items()]
    try:
        yield
    finally:
        await cancel(*tasks)


async def kept_going(name: str, work: Callable[[], Awaitable[None]], on_fault: Callable[[str], None]) -> None:
    """Runs `work` and restarts it whenever it ends, until cancelled. Reports each fault with the task's name."""
    backoff = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, spread=0)
    while True:
        started = time.monotonic()
        try:
            await work()
            error, stack = "ended by itself", ""
        except asyncio.CancelledError as fault:
            if _cancelled():
                raise
            error, stack = type(fault).__name__, _stack(fault)
        except Exception as fault:
            error, stack = type(fault).__name__, _stack(fault)
        if time.monotonic() - started > LONGEST_PAUSE_SECONDS:
            backoff.reset()
        pause = backoff.seconds()
        on_fault(name)
        # Never the message: a driver's may quote a row, and with it somebody's address.
        _log.error("side task failed", task=name, error=error, again_in_seconds=pause, stack=stack)
        await asyncio.sleep(pause)


def _cancelled() -> bool:
    """Whether this task was cancelled, and not something that it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _stack(fault: BaseException) -> str:
    return "".join(traceback.format_tb(fault.__traceback__))
