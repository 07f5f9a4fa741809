"""Runs a process from start to stop in one event loop. SIGTERM or SIGINT stops it.

Exit codes: 0 stopped as requested, 1 failed, 2 refused to start (the log's last line says in `reason` what to do).
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

#: How long a cancelled task may take to end before it is cancelled again.
CANCEL_AGAIN_SECONDS = 10.0


class StartupRefused(Exception):  # noqa: N818 - the name says what happened, and is shown to nobody
    """The process cannot run as it is configured. The message has one sentence for each problem, for the operator."""


def run_process(main: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    """Runs `main(stop)` until it returns, and returns the exit code.

    The first SIGTERM or SIGINT sets `stop`; a second one ends the process at once. `main` must release its resources
    before it returns.
    """
    try:
        asyncio.run(_run(main))
    except StartupRefused as refusal:
        structlog.get_logger(__name__).critical("refused to start", reason=str(refusal))
        return 2
    except asyncio.CancelledError:
        return 1
    except Exception:
        structlog.get_logger(__name__).exception("process failed")
        return 1
    return 0


async def _run(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    _collect_seldom()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    await main(stop)


def _collect_seldom() -> None:
    """Makes the garbage collector run after 50,000 new objects instead of 700.

    Requests and events are freed without the collector, which took a tenth of the relay's time.
    """
    gc.set_threshold(50_000, 20, 20)


async def first_of(stop: asyncio.Event, *tasks: asyncio.Task[Any]) -> None:
    """Waits until `stop` is set or one of `tasks` ends. If a task failed, raises its exception."""
    waiter = asyncio.ensure_future(stop.wait())
    try:
        done, _ = await asyncio.wait({waiter, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiter.cancel()
    for task in done - {waiter}:
        task.result()


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancels tasks and waits until all have ended. If a task failed, raises its exception.

    A cancellation may get lost: `asyncio.wait_for` of Python 3.11 drops one that coincides with a result. So a task
    that still runs after CANCEL_AGAIN_SECONDS, the time for an orderly end, is cancelled again. If this call itself is
    cancelled, it still waits for the tasks, and then raises CancelledError.
    """
    interrupted = False
    while running := {task for task in tasks if not task.done()}:
        for task in running:
            task.cancel()
        try:
            await asyncio.wait(running, timeout=CANCEL_AGAIN_SECONDS)
        except asyncio.CancelledError:
            interrupted = True
    if interrupted:
        raise asyncio.CancelledError
    for task in tasks:
        if not task.cancelled():
            task.result()


def leave_out_of_collections() -> None:
    """Excludes all existing objects from garbage collection. Call it once, when everything is created.

    Otherwise each full collection visits a hundred thousand objects of modules, and every call waits meanwhile.
    """
    gc.collect()
    gc.freeze()
