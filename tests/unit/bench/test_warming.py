"""Elasticsearch is warm when its processor time per order has stopped falling, not when it first pauses."""

from __future__ import annotations

import pytest

from bench.harness import warming
from bench.harness.warming import stands_still, warm


@pytest.mark.parametrize(
    ("windows", "still"),
    [
        ([], False),
        ([80.0], False),
        ([80.0, 80.0], False),
        ([80.0, 80.0, 80.0], True),
        ([80.0, 60.0, 60.0], False),  # one pause is not enough
        ([80.0, 60.0, 60.0, 50.0], False),
        ([80.0, 34.0, 33.0, 34.0], True),
        ([33.0, 33.0, 33.0, 40.0], False),  # only the last windows count
    ],
)
def test_still_is_two_windows_like_the_one_before(windows: list[float], still: bool) -> None:
    assert stands_still(windows) is still


class Process:
    """Uses `costs` seconds of processor time for the orders of one window after another; the last one repeats."""

    def __init__(self, *costs: float) -> None:
        self.costs, self.used, self.windows = list(costs), 0.0, 0

    async def load(self, seconds: float) -> int:
        self.used += self.costs[min(self.windows, len(self.costs) - 1)]
        self.windows += 1
        return 100

    def cpu_seconds(self) -> float:
        return self.used


async def test_warms_until_still() -> None:
    process = Process(8.0, 5.0, 3.5, 3.4, 3.4)
    assert await warm(process.load, process.cpu_seconds) == {
        "seconds": 0,
        "ms_per_order": [80.0, 50.0, 35.0, 34.0, 34.0],
        "stood_still": True,
    }


async def test_ends_after_the_longest_time_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warming, "MOST_SECONDS", 0.0)
    process = Process(8.0)
    told = await warm(process.load, process.cpu_seconds)
    assert told["stood_still"] is False
