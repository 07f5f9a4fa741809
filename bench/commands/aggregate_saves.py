"""Measures how long other libraries take to save an aggregate in the bench's Postgres.

Each library runs in a Python environment of its own.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from google.protobuf.json_format import MessageToDict

from bench.commands.calls import orders
from bench.harness.program import run_program
from bench.harness.progress import tell
from bench.harness.rounds import Figures, NotMeasured
from bench.harness.servers import Servers
from bench.harness.settings import BenchSettings

EVENTSOURCING = "eventsourcing[postgres]==9.5.6"
PROGRAM = Path(__file__).with_name("eventsourcing_saves.py")
#: Libraries that are not measured, and why.
NOT_MEASURED = {"Protean": "it keeps event-sourced aggregates in Message DB, which must be installed into the server"}
INSTALL_SECONDS, RUN_SECONDS = 300.0, 300.0


class EventsourcingSaves:
    """Measures the library `eventsourcing`. Each run has a new database and new orders."""

    def __init__(self, settings: BenchSettings, servers: Servers) -> None:
        self._settings, self._servers = settings, servers
        self._environment = settings.peers_directory / "venv-eventsourcing"
        self._made = 0

    async def run(self, callers: int) -> Figures:
        """Returns the time per save in µs. Raises NotMeasured when the library cannot be installed."""
        python = await asyncio.to_thread(self._installed)
        self._made += 1
        url = await self._servers.postgres.ensure_database(f"bench_eventsourcing_{self._made}")
        file = self._servers.directory / "orders.json"
        file.write_text(json.dumps([MessageToDict(order) for order in orders(self._settings.calls)]), encoding="utf-8")
        ran = await asyncio.to_thread(run_program, [python, PROGRAM, url, str(callers), file], RUN_SECONDS)
        if ran.status != 0:
            raise NotMeasured(f"eventsourcing: {ran.last_line}")
        return {"us_per_call": float(ran.last_line)}

    def _installed(self) -> Path:
        python = self._environment / "bin" / "python"
        if not (self._environment / "installed").exists():
            tell(f"installing {EVENTSOURCING} into {self._environment}")
            self._environment.parent.mkdir(parents=True, exist_ok=True)
            steps: list[list[str | Path]] = [
                [sys.executable, "-m", "venv", "--clear", self._environment],
                [python, "-m", "pip", "install", "-q", EVENTSOURCING],
            ]
            for step in steps:
                ran = run_program(step, INSTALL_SECONDS)
                if ran.status != 0:
                    raise NotMeasured(f"{EVENTSOURCING} could not be installed: {ran.last_line}")
            (self._environment / "installed").touch()
        return python
