"""Reports progress on standard error: one line per step, with the seconds since the start."""

from __future__ import annotations

import sys
import time

_STARTED = time.monotonic()


def tell(text: str) -> None:
    """Writes one line with the seconds since the start."""
    print(f"[{time.monotonic() - _STARTED:7.1f} s] {text}", file=sys.stderr, flush=True)
