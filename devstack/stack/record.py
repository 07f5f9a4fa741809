"""Reads and writes the note of a running local stack in `.tandem/stack.json`, by which other commands find it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from devstack.stack.topology import Topology

PROJECT = Path(__file__).resolve().parents[2]


def state_directory() -> Path:
    """Returns the directory of the local stack: TANDEM_DIR, or `.tandem` of the project."""
    given = os.environ.get("TANDEM_DIR", "").strip()
    return Path(given).resolve() if given else PROJECT / ".tandem"


@dataclass(frozen=True)
class StackRecord:
    """Which process runs the stack, and where everything listens."""

    pid: int
    started: float
    topology: Topology

    @property
    def alive(self) -> bool:
        """Whether that process still runs, and its id was not given to another one."""
        try:
            return abs(psutil.Process(self.pid).create_time() - self.started) < 1.0
        except psutil.Error:
            return False

    def write(self) -> None:
        """Writes the record."""
        path = state_directory() / "stack.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"pid": self.pid, "started": self.started, "topology": self.topology.as_dict()}
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(content, indent=1) + "\n")
        fresh.replace(path)

    @classmethod
    def of_this_process(cls, topology: Topology) -> StackRecord:
        """Returns a record of this process."""
        return cls(os.getpid(), psutil.Process().create_time(), topology)


def read_record() -> StackRecord | None:
    """Returns the running stack, or None."""
    try:
        content = json.loads((state_directory() / "stack.json").read_text())
        record = StackRecord(content["pid"], content["started"], Topology(**content["topology"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record if record.alive else None


def remove_own_record() -> None:
    """Removes the note, unless it belongs to another process."""
    record = read_record()
    if record is None or record.pid == os.getpid():
        (state_directory() / "stack.json").unlink(missing_ok=True)
