"""Waiting longer and longer, for ever, never all at the same time."""

from __future__ import annotations

import random

FIRST_SECONDS = 0.05
LONGEST_SECONDS = 5.0


class Backoff:
    """Delays between `FIRST_SECONDS` and `LONGEST_SECONDS`, doubling, each shortened by up to half at random."""

    def __init__(self, chance: random.Random | None = None) -> None:
        self._chance = chance or random.Random()  # noqa: S311 - jitter, no secret
        self._next = FIRST_SECONDS

    def seconds(self) -> float:
        """The next delay."""
        delay, self._next = self._next, min(LONGEST_SECONDS, self._next * 2)
        return delay * self._chance.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Begins anew after something worked."""
        self._next = FIRST_SECONDS
