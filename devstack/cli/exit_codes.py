"""Exit codes of `tandem`."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """0 ok, 1 degraded or refused, 2 wrong usage, 3 down, 130 interrupted by Ctrl-C while there was more to do."""

    OK = 0
    DEGRADED = 1
    USAGE = 2
    DOWN = 3
    INTERRUPTED = 130
