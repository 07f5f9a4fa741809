"""An open loop starts work when it is due, counts from then, and starts no more after a failure."""

from __future__ import annotations

import asyncio

import pytest

from bench.harness.open_loop import evenly, open_loop
from bench.harness.rounds import NotMeasured


async def test_counts_every_piece_and_waits_for_the_last() -> None:
    release = asyncio.Event()
    started = 0

    async def work() -> None:
        nonlocal started
        started += 1
        if started == 10:
            release.set()
        await release.wait()

    figures = await open_loop(work, evenly(1_000.0), 0.0095)
    assert figures["pieces"] == started == 10


async def test_starts_no_more_after_a_failure() -> None:
    started = 0

    async def work() -> None:
        nonlocal started
        started += 1
        raise NotMeasured("refused")

    with pytest.raises(NotMeasured, match="refused"):
        await open_loop(work, evenly(1_000.0), 60.0)
    assert started < 100
