"""A call that outlives the loop of its test leaves no line in the log of a later test; every other fault does."""

from __future__ import annotations

import asyncio
import logging

import pytest


class PollerCompletionQueue:
    """Stands for gRPC's, whose callback wakes a loop that is closed."""

    def _handle_events(self) -> None:
        closed = asyncio.new_event_loop()
        closed.close()
        closed.call_soon(print)

    def other(self) -> None:
        raise RuntimeError("another fault")


def other_queue() -> None:
    PollerCompletionQueue()._handle_events()


@pytest.mark.parametrize(
    ("callback", "logged"),
    [(PollerCompletionQueue()._handle_events, 0), (PollerCompletionQueue().other, 1), (other_queue, 1)],
    ids=["a closed loop", "another fault", "another callback"],
)
async def test_only_wakes_of_closed_loops_are_left_out(
    callback: object, logged: int, caplog: pytest.LogCaptureFixture
) -> None:
    assert callable(callback)
    asyncio.get_running_loop().call_soon(callback)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == logged
