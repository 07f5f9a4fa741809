"""Computes how long a command waits for a silent service.

It is TANDEM_PATIENCE_SECONDS, by default 5.5, or less after a slow start, so that the command ends within ten seconds.
"""

from __future__ import annotations

import os
import time
from functools import cache

DEFAULT_SECONDS, LEAST_SECONDS = 5.5, 2.0
#: Seconds from the start of the process to the end of its first wait. The rest of ten seconds is for its exit.
SECONDS_IN_ALL = 7.5
#: The share of the patience before a sign of life is requested. Nearly every answer arrives by then.
SILENT_PART = 0.45


def sign_seconds() -> float:
    """Returns the seconds in which a live service replies to a probe."""
    return patience_seconds() * (1 - SILENT_PART)


def patience_seconds() -> float:
    """Returns the seconds without a reply after which a command ends."""
    try:
        return max(0.1, float(os.environ.get("TANDEM_PATIENCE_SECONDS", "")))
    except ValueError:
        return default_patience(start_seconds())


def default_patience(start: float) -> float:
    """Returns the seconds of patience in a process whose start took `start` seconds."""
    return min(DEFAULT_SECONDS, max(LEAST_SECONDS, SECONDS_IN_ALL - start))


@cache
def start_seconds() -> float:
    """Returns the seconds since this process started. It may be up to a second too much.

    The system knows its own boot time in whole seconds only.
    """
    import psutil

    return max(0.0, time.time() - psutil.Process().create_time())
