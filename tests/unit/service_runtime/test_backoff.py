"""Pauses between attempts: they double to a limit, differ by chance, and begin anew."""

from __future__ import annotations

import random

from service_runtime.backoff import Backoff


def test_backoff_doubles_to_a_limit_for_ever_and_begins_anew() -> None:
    backoff = Backoff(0.05, 5.0, chance=random.Random(1))
    delays = [backoff.seconds() for _ in range(200)]
    assert 0.025 <= delays[0] <= 0.05
    assert all(2.5 <= one <= 5.0 for one in delays[10:])
    assert len(set(delays[10:])) > 100
    backoff.reset()
    assert backoff.seconds() <= 0.05


def test_without_a_spread_each_delay_is_exact() -> None:
    backoff = Backoff(1.0, 5.0, spread=0)
    assert [backoff.seconds() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
