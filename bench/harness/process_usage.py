"""Measures the CPU time and memory of a process and its descendants."""

from __future__ import annotations

import re
from pathlib import Path

import psutil

_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


def cpu_seconds(pid: int) -> float:
    """Returns the user and system seconds that a process, its descendants and its ended children have used so far.

    0 when the process is gone.
    """
    try:
        process = psutil.Process(pid)
        times = process.cpu_times()
        own: float = times.user + times.system + times.children_user + times.children_system
        return own + sum(cpu_seconds(child.pid) for child in process.children())
    except psutil.NoSuchProcess:
        return 0.0


def peak_memory_mib(pid: int) -> float:
    """Returns the peak resident memory of a process and its living descendants, added up, in MiB."""
    total = 0.0
    try:
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            found = _PEAK.search(Path(f"/proc/{one.pid}/status").read_text())
            total += int(found[1]) / 1024 if found else 0.0
    except (psutil.NoSuchProcess, OSError):
        pass
    return total
