"""Pauses between attempts: they double to a limit, differ by chance, and begin anew."""

import random

from relay.publishing.backoff import LONGEST_SECONDS, Backoff


def test_backoff_doubles_to_a_limit_for_ever_and_begins_anew() -> None:
    backoff = Backoff(random.Random(1))
    delays = [backoff.seconds() for _ in range(200)]
    assert 0.025 <= delays[0] <= 0.05
    assert all(0.5 * LONGEST_SECONDS <= one <= LONGEST_SECONDS for one in delays[10:])
    assert len(set(delays[10:])) > 100
    backoff.reset()
    assert backoff.seconds() <= 0.05
