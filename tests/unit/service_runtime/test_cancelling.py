"""Tasks that are cancelled end, also when one of the cancellations gets lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from query_service.handlers.stream.working_together import work_together
from service_runtime import process
from service_runtime.process import cancel
from service_runtime.side_tasks import side_tasks


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "CANCEL_AGAIN_SECONDS", 0.01)


async def loses_a_cancellation() -> None:
    """As `asyncio.wait_for` does when a result comes at the same moment."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.Event().wait()


async def fails_when_cancelled() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        raise ValueError("late")


async def started(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    task = asyncio.create_task(work)
    await asyncio.sleep(0)
    return task


async def test_a_task_ends_although_it_lost_a_cancellation() -> None:
    tasks = [await started(loses_a_cancellation()) for _ in range(2)]
    await asyncio.wait_for(cancel(*tasks), 60)
    assert all(task.cancelled() for task in tasks)


async def test_what_a_task_raises_is_raised() -> None:
    with pytest.raises(ValueError, match="late"):
        await cancel(await started(fails_when_cancelled()))


async def test_whoever_cancels_and_is_cancelled_leaves_when_the_tasks_have_ended() -> None:
    task = await started(loses_a_cancellation())
    canceller = await started(cancel(task))
    canceller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(canceller, 60)
    assert task.cancelled()


async def in_side_tasks() -> None:
    async with side_tasks({"work": loses_a_cancellation}, lambda _: None):
        await asyncio.Event().wait()


@pytest.mark.parametrize("made", [lambda: work_together(loses_a_cancellation()), in_side_tasks])
async def test_work_ends_with_whoever_runs_it(made: Callable[[], Coroutine[Any, Any, None]]) -> None:
    task = await started(made())
    await asyncio.sleep(0)
    await asyncio.wait_for(cancel(task), 60)
    assert task.cancelled()


async def test_the_first_failure_ends_the_others_and_is_raised() -> None:
    async def fails() -> None:
        raise KeyError("first")

    with pytest.raises(KeyError, match="first"):
        await asyncio.wait_for(work_together(loses_a_cancellation(), fails(), fails_when_cancelled()), 60)
