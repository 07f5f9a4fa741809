"""What `tandem` tells a script when it ends."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """0 ok, 1 degraded or refused, 2 wrong usage, 3 down."""

    OK = 0
    DEGRADED = 1
    USAGE = 2
    DOWN = 3
