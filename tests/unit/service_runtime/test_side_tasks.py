"""A fault on the side is counted and tried again; only a cancellation of the task itself ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from structlog.testing import capture_logs

from service_runtime import side_tasks as module
from service_runtime.side_tasks import kept_going, side_tasks

#: Of a row, in the message of a fault.
QUOTED = "".join(("Ring", " ", "Road"))


async def no_fault() -> None:
    """Ends by itself."""


async def wrong_count() -> None:
    raise ValueError(f"somebody lives in {QUOTED}")


async def cancelled_elsewhere() -> None:
    other = asyncio.ensure_future(asyncio.Event().wait())
    other.cancel()
    await other


@pytest.mark.parametrize(
    ("work", "error"),
    [(no_fault, "ended by itself"), (wrong_count, "ValueError"), (cancelled_elsewhere, "CancelledError")],
)
async def test_faults_are_logged_counted_and_tried_again(
    work: Callable[[], Awaitable[None]], error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(module, "LONGEST_PAUSE_SECONDS", 0.004)
    told: list[str] = []
    enough = asyncio.Event()

    def on_fault(task: str) -> None:
        told.append(task)
        if len(told) == 5:
            enough.set()

    with capture_logs() as logs:
        task = asyncio.create_task(kept_going("housekeeping", work, on_fault))
        await asyncio.wait({task, asyncio.ensure_future(enough.wait())}, return_when=asyncio.FIRST_COMPLETED)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert set(told) == {"housekeeping"}
    assert {(log["event"], log["task"], log["error"]) for log in logs} == {("side task failed", "housekeeping", error)}
    assert QUOTED not in str(logs), "a message may quote a row"
    if work is not no_fault:
        assert [log["again_in_seconds"] for log in logs][:4] == [0.001, 0.002, 0.004, 0.004]


async def test_a_cancellation_ends_the_work() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.create_task(kept_going("housekeeping", work, lambda _: None))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_faults_beside_a_block_neither_end_nor_outlive_it() -> None:
    failed: asyncio.Queue[str] = asyncio.Queue()
    ended = asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with side_tasks({"count": wrong_count, "wait": wait}, failed.put_nowait):
        assert await failed.get() == "count"
    assert ended.is_set()
    assert failed.empty()
