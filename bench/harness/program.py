"""Runs another program to its end, and measures its time and CPU time."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.harness.rounds import NotMeasured


@dataclass(frozen=True, slots=True)
class Ran:
    """The result of a program that has ended. `output` is its standard output and standard error."""

    status: int
    output: str
    seconds: float
    cpu_seconds: float

    @property
    def last_line(self) -> str:
        """The last line of the output, or a text with the exit status if there is no output."""
        return (self.output.strip().splitlines() or [f"exit status {self.status}"])[-1]


def run_program(
    command: Sequence[str | Path], within: float, environment: dict[str, str] | None = None, folder: Path | None = None
) -> Ran:
    """Runs a program. After `within` seconds kills it, with its children, and raises NotMeasured.

    `environment` is added to this process's. `folder` is the working directory; None: this process's.
    """
    started, before = time.monotonic(), os.times()
    process = subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, **(environment or {})},
        cwd=folder,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=within)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            raise NotMeasured(f"{Path(command[0]).name} was not done within {within:.0f} s") from None
        raise
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Ran(process.returncode, output, time.monotonic() - started, cpu)
