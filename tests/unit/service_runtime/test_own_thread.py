"""Work in a thread of its own: it runs elsewhere, its error comes back, and cancelling ends it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from service_runtime.own_thread import in_own_thread


async def test_work_runs_in_another_thread_and_ends() -> None:
    seen: list[int] = []

    async def work() -> None:
        seen.append(threading.get_ident())

    await in_own_thread(work, "work")
    assert seen
    assert seen != [threading.get_ident()]


async def test_an_error_comes_back() -> None:
    async def work() -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        await in_own_thread(work, "work")


async def test_cancelling_ends_the_work_before_it_returns() -> None:
    begun, ended = threading.Event(), threading.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    running = asyncio.create_task(in_own_thread(work, "work"))
    await asyncio.to_thread(begun.wait)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended.is_set()
    assert all(thread.name != "work" for thread in threading.enumerate())
