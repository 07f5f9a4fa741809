"""Seeds that can be given again, and lines that show with `-s` or when a test fails."""

from __future__ import annotations

import os
import random
import sys


def new_seed() -> int:
    """TANDEM_TEST_SEED if set, else a new one; told either way."""
    seed = int(os.environ.get("TANDEM_TEST_SEED", random.randrange(1 << 31)))
    tell(f"seed {seed}: TANDEM_TEST_SEED={seed} makes the same choices")
    return seed


def tell(line: str) -> None:
    """Writes a line for whoever reads the test's output."""
    sys.stdout.write(f"{line}\n")
