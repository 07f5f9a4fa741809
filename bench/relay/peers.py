"""Measures other relays on the same servers. Scripts outside this project install and run them.

`PEERS_SCRIPTS` is the directory of the scripts, `PEERS_DIR` the directory into which they install. The scripts find our
servers by their ports and by process ids in a directory that this module creates. They create a database `bench` and a
stream `ORDERS` on our servers.
"""

from __future__ import annotations

import asyncio
import json
import shlex
from typing import Any

from bench.harness.program import Ran, run_program
from bench.harness.progress import tell
from bench.harness.rounds import Figures, NotMeasured
from bench.harness.servers import Servers
from bench.harness.settings import BenchSettings

INSTALL_SECONDS = 600.0
SCRIPT = "relay_bench.py"
_INSTALLED = ("venv", "gobin", "debezium-server")


class Peers:
    """Runs the scripts. Every failure becomes NotMeasured, with the reason."""

    def __init__(self, settings: BenchSettings, servers: Servers) -> None:
        self._settings = settings
        self._servers = servers
        self._home = servers.directory / "peers"
        self._absent = ""

    async def install(self) -> None:
        """Installs missing peers. `drain` and `steady` report a failure of this."""
        scripts, home = self._settings.peers_scripts, self._settings.peers_directory
        if not (scripts / SCRIPT).is_file():
            self._absent = f"no scripts that run peers in {scripts} (set PEERS_SCRIPTS)"
        elif not self._there():
            tell(f"installing peers into {home}: takes some minutes, once")
            home.mkdir(parents=True, exist_ok=True)
            try:
                ran = await asyncio.to_thread(
                    run_program, [scripts / "setup.sh"], INSTALL_SECONDS, {"PEERS_DIR": str(home)}
                )
                failure = ran.last_line
            except (NotMeasured, OSError) as error:
                failure = str(error)
            if not self._there():
                self._absent = f"the peers could not be installed: {failure}"
        tell(self._absent or f"peers in {home}")

    async def seed(self) -> None:
        """Creates a replication slot, which each run of a peer copies, and then writes the peers' backlog."""
        if not self._absent:
            self._lay_out()
            try:
                ran = await self._bench("base-seed", within=300.0)
            except NotMeasured as reason:
                self._absent = str(reason)
                return
            if ran.status != 0:
                self._absent = f"the peers' rows could not be written: {ran.last_line}"
            tell(self._absent or f"peers' rows written: {ran.last_line}")

    async def drain(self, peer: str) -> Figures:
        """Lets a peer drain the whole backlog once, and returns the figures."""
        found = await self._measure("drain", peer, within=300.0)
        return {
            "rate": found["rate"],
            "cpu_us_per_event": found["cpu_us_per_event"],
            "peak_mib": found["rss_mib"],
            "first_event_s": found["startup_s"],
            "bytes_per_message": found["bytes_per_msg"],
        }

    async def steady(self, peer: str) -> Figures:
        """Runs a peer once under steady load, and returns the figures."""
        found = await self._measure("steady", peer, within=self._settings.steady_seconds + 180.0)
        return {
            "p50_ms": found["p50_ms"],
            "p95_ms": found["p95_ms"],
            "p99_ms": found["p99_ms"],
            "max_ms": found["max_ms"],
            "cpu_percent": found["cpu_pct"],
            "peak_mib": found["rss_mib"],
            "events": found["stored"],
        }

    async def _measure(self, kind: str, peer: str, within: float) -> dict[str, Any]:
        if self._absent:
            raise NotMeasured(self._absent)
        script = self._settings.peers_scripts / SCRIPT
        if f'"{peer}"' not in script.read_text(encoding="utf-8"):
            raise NotMeasured(f"{script} has no peer {peer}")
        self._lay_out()
        ran = await self._bench(kind, peer, within=within)
        try:
            found: dict[str, Any] = json.loads(ran.last_line)
        except ValueError:
            raise NotMeasured(f"{peer} gave no figures: {ran.last_line}") from None
        if not found["ok"]:
            raise NotMeasured(f"{peer} did not store what it should: {ran.last_line}")
        return found

    async def _bench(self, *arguments: str, within: float) -> Ran:
        scripts, settings, servers = self._settings.peers_scripts, self._settings, self._servers
        command = f'. {shlex.quote(str(scripts / "env.sh"))}; exec "$VENV/bin/python" "$@"'
        environment = {
            "PEERS_DIR": str(self._home),
            "PG_PORT": str(servers.postgres.port),
            "NATS_PORT": str(servers.nats.port),
            "N": str(settings.events),
            "REPS": "1",
            "STEADY_S": str(settings.steady_seconds),
            "RATE": str(settings.rate),
            "RESULTS": str(self._home / "results.jsonl"),
        }
        program = str(scripts / SCRIPT)
        return await asyncio.to_thread(
            run_program, ["bash", "-c", command, "bench", program, *arguments], within, environment
        )

    def _there(self) -> bool:
        home = self._settings.peers_directory
        return all((home / name).is_dir() for name in _INSTALLED) and (home / "venv" / "bin" / "python").exists()

    def _lay_out(self) -> None:
        """Creates the directory that the scripts expect, with the process ids of our servers."""
        run = self._home / "run"
        (run / "pg18").mkdir(parents=True, exist_ok=True)
        (run / "pg18" / "postmaster.pid").write_text(f"{self._servers.postgres.pid}\n")
        (run / "nats.pid").write_text(f"{self._servers.nats.pid}\n")
        for name in _INSTALLED:
            if not (self._home / name).exists():
                (self._home / name).symlink_to(self._settings.peers_directory / name)
