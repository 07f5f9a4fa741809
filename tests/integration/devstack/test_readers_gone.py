"""A command whose reader has gone away ends as if it had been read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TANDEM = Path(sys.executable).parent / "tandem"


@pytest.mark.parametrize("arguments", [("status", "--json"), ("--version",)], ids=" ".join)
def test_nobody_reads_the_output(arguments: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run([TANDEM, *arguments], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_nobody_reads_the_complaint() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run([TANDEM, "orders", "get"], stderr=writer, check=False)
    os.close(writer)
    assert ended.returncode == 2
