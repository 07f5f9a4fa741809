"""Reproducible seeds, and lines of output that show with `-s` or when a test fails."""

from __future__ import annotations

import os
import random
import sys


def new_seed() -> int:
    """Returns TANDEM_TEST_SEED if set, else a new seed; prints it."""
    seed = int(os.environ.get("TANDEM_TEST_SEED", random.randrange(1 << 31)))
    tell(f"seed {seed}: TANDEM_TEST_SEED={seed} makes the same choices")
    return seed


def tell(line: str) -> None:
    """Prints a line to the test's output."""
    sys.stdout.write(f"{line}\n")
