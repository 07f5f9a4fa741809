"""Runs a coroutine in an event loop and a thread of its own, so that its processor time can be measured."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any


async def in_own_thread(work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
    """Runs `work()` in a new thread until it ends, and raises its error. Cancelling this cancels the work too."""
    caller = asyncio.get_running_loop()
    ended: asyncio.Future[None] = caller.create_future()
    begun: asyncio.Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = caller.create_future()

    async def main() -> None:
        task = asyncio.ensure_future(work())
        caller.call_soon_threadsafe(begun.set_result, (asyncio.get_running_loop(), task))
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()

    def run() -> None:
        error: BaseException | None = None
        try:
            asyncio.run(main())
        except BaseException as raised:
            error = raised
        caller.call_soon_threadsafe(_settle, ended, error)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        await asyncio.shield(ended)
    except asyncio.CancelledError:
        loop, task = await begun
        loop.call_soon_threadsafe(task.cancel)
        await asyncio.wait({ended})
        raise
    finally:
        thread.join()


def _settle(ended: asyncio.Future[None], error: BaseException | None) -> None:
    if ended.cancelled():
        return
    if error is None:
        ended.set_result(None)
    else:
        ended.set_exception(error)
