"""Work that is begun at once: what does not wait is done when the call returns, and the rest is a task."""

from __future__ import annotations

import asyncio

import pytest

from service_runtime.at_once import _Rest, at_once
from tests.support.source_mutants import Mutant, noticed


async def test_work_that_does_not_wait_is_done_at_once() -> None:
    done = list[int]()

    async def work() -> None:
        async with asyncio.Lock():
            done.append(1)

    assert at_once(work()) is None
    assert done == [1]


async def test_the_rest_of_work_that_waits_is_a_task() -> None:
    lock, done = asyncio.Lock(), list[int]()

    async def work() -> None:
        done.append(1)
        async with lock:
            done.append(2)
            await asyncio.sleep(0)
            done.append(3)

    await lock.acquire()
    rest = at_once(work())
    assert rest is not None
    assert done == [1]
    lock.release()
    await rest
    assert done == [1, 2, 3]
    assert not lock.locked()


async def test_errors_are_the_works_own() -> None:
    async def work(waiting: asyncio.Future[None] | None) -> None:
        if waiting is not None:
            await waiting
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        at_once(work(None))
    waited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    rest = at_once(work(waited))
    assert rest is not None
    waited.set_result(None)
    with pytest.raises(ValueError, match="wrong"):
        await rest


async def check_a_cancellation_reaches_the_work() -> None:
    lock, seen = asyncio.Lock(), list[str]()

    async def work() -> None:
        try:
            async with lock:
                raise AssertionError("nobody released the lock")
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    await lock.acquire()
    rest = at_once(work())
    assert rest is not None
    rest.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rest
    assert seen == ["cancelled"]


async def test_a_cancellation_reaches_the_work() -> None:
    await check_a_cancellation_reaches_the_work()


@pytest.mark.mutant
async def test_a_cancellation_that_is_kept_from_the_work_is_noticed() -> None:
    with noticed(Mutant(_Rest.throw, "return self._work.throw(*error)", "raise error[0]")):
        await check_a_cancellation_reaches_the_work()
