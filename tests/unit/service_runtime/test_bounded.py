"""An answer has a limited time, and a cancellation by somebody else stays one."""

from __future__ import annotations

import asyncio
import math

import pytest

from service_runtime.edge.call_limits import bounded
from tests.support.source_mutants import Mutant, noticed
from tests.support.virtual_time import in_virtual_time


class Late(Exception):  # noqa: N818 - says what happened
    """The answer took too long."""


async def after(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "the answer"


async def late(seconds: float) -> None:
    """An answer that takes 2 s is late within less, and the call can be awaited on as if nothing had happened."""
    with pytest.raises(Late):
        await bounded(after(2), seconds, Late)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(5)  # nothing of it is left that could cancel this


@in_virtual_time
async def test_an_answer_in_time_is_returned_and_no_timer_is_left() -> None:
    for seconds in (3, math.inf):
        assert await bounded(after(2), seconds, Late) == "the answer"
    await asyncio.sleep(60)


@in_virtual_time
async def test_what_takes_too_long_is_late() -> None:
    for seconds in (0, 1):
        await late(seconds)


@in_virtual_time
async def test_an_error_of_the_answer_is_its_own() -> None:
    async def times_out() -> None:
        raise TimeoutError("of the store")

    with pytest.raises(TimeoutError, match="of the store"):
        await bounded(times_out(), 1, Late)


async def cancelled_at_the_same_time() -> None:
    """A caller leaves in the very moment in which the time runs out: the call ends as cancelled."""
    call = asyncio.create_task(bounded(after(2), 1, Late))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(1, call.cancel)
    with pytest.raises(asyncio.CancelledError):
        await call


@in_virtual_time
async def test_who_cancels_a_call_is_not_told_that_it_was_late() -> None:
    await cancelled_at_the_same_time()
    call = asyncio.create_task(bounded(after(2), 1, Late))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


@pytest.mark.mutant
@in_virtual_time
async def test_a_limit_that_goes_wrong_is_noticed() -> None:
    with noticed(Mutant(bounded, "if expired:", "if False:")):
        await late(1)
    with noticed(Mutant(bounded, "task.cancelling() - 1 <= cancelled_before", "True"), or_raises=(Late,)):
        await cancelled_at_the_same_time()
