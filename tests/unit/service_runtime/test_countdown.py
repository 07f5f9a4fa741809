"""Patience with others while this process does not get to work."""

from __future__ import annotations

import asyncio
import time

import pytest

from service_runtime import countdown
from service_runtime.countdown import Countdown


async def ended_after_a_stop() -> bool:
    """Whether it has ended when the process goes on after having stood still for longer than the countdown."""
    ended: list[bool] = []
    counting = Countdown(0.04, lambda: ended.append(True))
    time.sleep(0.06)  # noqa: ASYNC251 - nothing in this process gets to work
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    counting.cancel()
    return bool(ended)


async def test_time_at_a_standstill_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not await ended_after_a_stop()
    # Mutant: one timer for all of it.
    monkeypatch.setattr(countdown, "STEPS", 1)
    assert await ended_after_a_stop()


async def test_it_ends_once_and_not_when_cancelled() -> None:
    ended: list[str] = []
    over = asyncio.Event()
    Countdown(0.02, lambda: ended.append("cancelled")).cancel()
    begun = time.monotonic()
    Countdown(0.02, lambda: ended.append("first"))
    Countdown(0.2, over.set)
    await over.wait()
    assert ended == ["first"]
    assert time.monotonic() - begun >= 0.2
