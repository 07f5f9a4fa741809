"""Reads the settings of a bench from environment variables. The defaults suit two cores and 25 minutes."""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class BenchSettings:
    """The settings of a bench.

    `events`: rows of the relay's backlog. `orders`: size of the read model. `rate`: events per second. `calls`: calls
    per run. `rows`: rows per table of the large write model. `peers_…`: the directories of the peers. `before`: the
    commit whose services are measured beside those of the working tree; empty: none.
    """

    full: bool
    events: int
    orders: int
    rounds: int
    steady_seconds: int
    rate: int
    calls: int
    rows: int
    peers_scripts: Path
    peers_directory: Path
    before: str

    @classmethod
    def load(cls, *, orders: int = 200_000, steady_seconds: int = 30, calls: int = 2_000) -> BenchSettings:
        """Reads the settings. The arguments are a bench's defaults. Ends the process with a message if one is wrong."""
        return cls(
            full=os.environ.get("FULL", "") not in {"", "0"},
            events=_number("EVENTS", 200_000, least=10_000),
            orders=_number("ORDERS", orders, least=1_000),
            rounds=_number("ROUNDS", 3, least=1),
            steady_seconds=_number("STEADY_SECONDS", steady_seconds, least=5),
            rate=_number("RATE", 1_000, least=10),
            calls=_number("CALLS", calls, least=100),
            rows=_number("ROWS", 0, least=0),
            peers_scripts=_directory("PEERS_SCRIPTS", PROJECT.parent / "shared" / "peers"),
            peers_directory=_directory("PEERS_DIR", Path(tempfile.gettempdir()) / "tandem-peers"),
            before=os.environ.get("BEFORE", "").strip(),
        )

    def line(self, *amounts: str) -> str:
        """Returns a bench's first line: its own `amounts`, the rounds, and the cores and the load of the machine."""
        return ", ".join(
            [*amounts, f"{self.rounds} rounds", f"{os.cpu_count()} cores", f"load {os.getloadavg()[0]:.1f}"]
        )


def _number(name: str, default: int, least: int) -> int:
    text = os.environ.get(name, "").strip() or str(default)
    if not text.isdecimal() or int(text) < least:
        sys.exit(f"{name} is {text!r} and must be a whole number, {least} or more.")
    return int(text)


def _directory(name: str, default: Path) -> Path:
    text = os.environ.get(name, "").strip()
    return Path(text).resolve() if text else default
