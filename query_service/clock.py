"""Reads the clock."""

from __future__ import annotations

import time


def now() -> int:
    """Returns the present time in microseconds since 1970."""
    return time.time_ns() // 1000
