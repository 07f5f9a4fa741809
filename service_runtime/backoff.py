"""Computes pauses between attempts. Each is longer, up to a limit, and random, so callers do not retry together."""

from __future__ import annotations

import random


class Backoff:
    """Delays that double from `first` to `longest` seconds. Each is shortened at random by up to the share `spread`."""

    def __init__(
        self, first: float, longest: float, *, spread: float = 0.5, chance: random.Random | None = None
    ) -> None:
        self._first, self._longest, self._spread = first, longest, spread
        self._chance = chance or random.Random()  # noqa: S311 - jitter, no secret
        self._next = first

    def seconds(self) -> float:
        """Returns the next delay in seconds. The delay after it is twice as long, up to `longest`."""
        delay, self._next = self._next, min(self._longest, self._next * 2)
        return delay * self._chance.uniform(1 - self._spread, 1)

    def reset(self) -> None:
        """Starts again with the first delay, because an attempt succeeded."""
        self._next = self._first
