"""Patience with others while this process does not get to work."""

from __future__ import annotations

import asyncio

import pytest

from service_runtime import countdown
from service_runtime.countdown import Countdown
from tests.support.virtual_time import VirtualTimeLoop, in_virtual_time


@in_virtual_time
async def test_time_at_a_standstill_is_not_counted() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    ended: list[float] = []
    Countdown(4.0, lambda: ended.append(loop.time()))
    await asyncio.sleep(1)
    loop.stand_still(60)
    await asyncio.sleep(2.4)
    assert not ended
    await asyncio.sleep(1)
    assert ended == [pytest.approx(64.0, abs=4.0 / countdown.STEPS)]


@pytest.mark.mutant
def test_mutant_one_timer_for_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(countdown, "STEPS", 1)
    with pytest.raises(AssertionError):
        test_time_at_a_standstill_is_not_counted()


@in_virtual_time
async def test_it_ends_once_and_not_when_cancelled() -> None:
    loop = asyncio.get_running_loop()
    ended: list[float] = []
    Countdown(1, lambda: ended.append(loop.time())).cancel()
    Countdown(2, lambda: ended.append(loop.time()))
    await asyncio.sleep(20)
    assert ended == [pytest.approx(2.0)]
