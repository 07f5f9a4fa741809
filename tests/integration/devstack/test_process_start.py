"""The start of a process counts from when the system made it, not from when our code was loaded."""

from __future__ import annotations

import subprocess
import sys
import time

#: Tells what the start took, and the part of it that this code saw.
START = """
import time
begun = time.monotonic()
from devstack.cli.waiting_time import start_seconds
import devstack.cli.app
seen = time.monotonic() - begun
print(start_seconds(), seen)
"""


def test_the_start_is_that_of_the_process() -> None:
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", START], capture_output=True, check=True, text=True)
    took = time.monotonic() - begun
    start, seen = map(float, done.stdout.split())
    assert 0 < seen <= start <= took + 1  # the system tells in whole seconds when it was started itself
