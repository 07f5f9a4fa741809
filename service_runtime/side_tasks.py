"""Runs background tasks of a service. If a task fails, that is logged and counted, and the task is restarted.

A failing task never ends the process.
"""

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
#: The pause after a task's first failure, in seconds. It doubles with each failure soon after, up to the longest.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
#: A task that ran for longer than this had recovered: its next pause is the first one again.
RECOVERED_SECONDS = 60.0


@asynccontextmanager
async def side_tasks(
    work: Mapping[str, Callable[[], Awaitable[None]]], on_fault: Callable[[str], None]
) -> AsyncIterator[None]:
    """Runs each function of `work` (by name) as a task during the block, and cancels the tasks at the end.

    `on_fault` is called with the name of each task that fails.
    """
    tasks = [asyncio.create_task(kept_going(name, one, on_fault)) for name, one in work.items()]
    try:
        yield
    finally:
        await cancel(*tasks)


async def kept_going(name: str, work: Callable[[], Awaitable[None]], on_fault: Callable[[str], None]) -> None:
    """Runs `work`, and restarts it after a pause whenever it ends, until cancelled. Calls `on_fault` each time."""
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
        if time.monotonic() - started > RECOVERED_SECONDS:
            backoff.reset()
        pause = backoff.seconds()
        on_fault(name)
        # The error's message is not logged: that of a driver may quote a row, and so somebody's address.
        _log.error("side task failed", task=name, error=error, again_in_seconds=pause, stack=stack)
        await asyncio.sleep(pause)


def _cancelled() -> bool:
    """Returns whether this task itself was cancelled, and not just something that it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _stack(fault: BaseException) -> str:
    return "".join(traceback.format_tb(fault.__traceback__))
