"""The highest rate is found by bisection, from above and from below, and with few runs."""

from __future__ import annotations

import pytest

from bench.end_to_end.highest_rate import LEAST_RATE, PRECISION, HighestRate, find_highest
from bench.harness.rounds import Figures, NotMeasured


class Machine:
    """Sustains rates up to `limit`, and refuses those above `refuses`. Remembers the rates that were tried."""

    def __init__(self, limit: float, refuses: float = float("inf")) -> None:
        self.limit, self.refuses = limit, refuses
        self.tried: list[float] = []

    async def sustained(self, rate: float) -> bool:
        self.tried.append(rate)
        return rate <= self.limit

    async def load(self, rate: float) -> Figures:
        if rate > self.refuses:
            raise NotMeasured("too many calls")
        late = not await self.sustained(rate)
        return {"p50_ms": rate, "p99_ms": 2_000.0 if late else 10.0, "behind_s": 3.0 if late else 0.0}


@pytest.mark.parametrize("limit", [5.0, 6.0, 40.0, 99.0, 100.0, 101.0, 200.0, 1_000.0])
async def test_finds_the_limit(limit: float) -> None:
    machine = Machine(limit)
    found = await find_highest(machine.sustained, 100.0)
    assert limit / PRECISION <= found <= limit
    assert len(machine.tried) == len(set(machine.tried)) <= 13


async def test_stays_near_what_it_knows() -> None:
    machine = Machine(150.0)
    await find_highest(machine.sustained, 145.0)
    assert max(machine.tried) < 1.3 * machine.limit
    assert len(machine.tried) <= 5


async def test_a_machine_that_sustains_nothing_is_not_measured() -> None:
    machine = Machine(LEAST_RATE - 1)
    with pytest.raises(NotMeasured, match="not even 5 orders/s"):
        await find_highest(machine.sustained, 100.0)


async def test_a_refused_run_is_not_sustained_and_a_late_one_is_finished() -> None:
    machine = Machine(limit=90.0, refuses=110.0)
    search = HighestRate(machine.load, 120.0)
    found = await search.measure()
    assert 90.0 / PRECISION <= found["per_s"] <= 90.0
    assert found["p50_ms"] == found["per_s"]
    assert 90.0 < search.finished <= 110.0


async def test_one_pause_of_the_machine_proves_nothing() -> None:
    machine = Machine(90.0)
    paused: list[float] = []

    async def load(rate: float) -> Figures:
        if rate not in paused:
            paused.append(rate)
            raise NotMeasured("a pause")
        return await machine.load(rate)

    assert 90.0 / PRECISION <= (await HighestRate(load, 100.0).measure())["per_s"] <= 90.0


async def test_the_next_search_begins_at_the_last_result() -> None:
    machine = Machine(90.0)
    search = HighestRate(machine.load, 120.0)
    first = await search.measure()
    machine.tried.clear()
    await search.measure()
    assert machine.tried[0] == first["per_s"]


@pytest.mark.parametrize(("p99", "behind"), [(1_001.0, 0.0), (10.0, 0.6)])
async def test_late_or_behind_is_not_sustained(p99: float, behind: float) -> None:
    async def load(rate: float) -> Figures:
        return {"p50_ms": 1.0, "p99_ms": p99, "behind_s": behind}

    with pytest.raises(NotMeasured):
        await HighestRate(load, 100.0).measure()
