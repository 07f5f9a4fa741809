"""What the path allows anyone: the broker's own publishing bench, and Postgres's own reader of the log.

`nats` (natscli) is looked for in the peers' directory and on PATH.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.backlog import Backlog, drop_slot
from bench.rounds import Figures, NotMeasured
from bench.servers import programs
from bench.settings import BenchSettings
from devstack.servers import NatsServer, PostgresServer
from devstack.servers.ports import HOST

#: As large as what the slimmest peer stores for a payload of 400 bytes.
MESSAGE_BYTES = 600
_RATE = re.compile(r"stats: ([\d,]+) msgs/sec")
_SLOT = "bench_floor"


@dataclass(frozen=True, slots=True)
class Ran:
    """A program that has ended."""

    status: int
    output: str
    seconds: float
    cpu_seconds: float

    @property
    def last_line(self) -> str:
        """The last line that it wrote."""
        return (self.output.strip().splitlines() or [f"exit status {self.status}"])[-1]


def run_program(
    command: Sequence[str | Path], within: float, environment: dict[str, str] | None = None, folder: Path | None = None
) -> Ran:
    """Runs it to its end in a session of its own; NotMeasured when it takes longer than `within` seconds."""
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


def find_nats_cli(settings: BenchSettings) -> Path:
    """The `nats` program; NotMeasured says where it was looked for."""
    own = settings.peers_directory / "gobin" / "nats"
    found = own if own.exists() else shutil.which("nats")
    if not found:
        raise NotMeasured(f"no program nats (natscli) in {own.parent} nor on PATH")
    return Path(found)


async def nats_bench(settings: BenchSettings, server: NatsServer, kind: str) -> Figures:
    """`nats bench js pub <kind>` with message ids, batches of 500."""
    cli: list[str | Path] = [find_nats_cli(settings), "-s", server.url]
    await asyncio.to_thread(run_program, [*cli, "stream", "rm", "-f", "BENCH_FLOOR"], 30.0)
    ran = await asyncio.to_thread(
        run_program,
        [
            *cli, "bench", "js", "pub", kind, "bench.floor", "--no-progress", "--size", str(MESSAGE_BYTES),
            "--msgs", str(settings.events), "--create", "--stream", "BENCH_FLOOR", "--storage", "file",
            "--batch", "500", "--dedup",
        ],
        120.0,
    )  # fmt: skip
    await asyncio.to_thread(run_program, [*cli, "stream", "rm", "-f", "BENCH_FLOOR"], 30.0)
    found = _RATE.search(ran.output)
    if found is None:
        raise NotMeasured(f"nats bench: {ran.last_line}")
    rate = float(found[1].replace(",", ""))
    return {"rate": rate, "cpu_us_per_event": 1e6 * ran.cpu_seconds / settings.events}


async def recvlogical(postgres: PostgresServer, backlog: Backlog) -> Figures:
    """`pg_recvlogical` of the same rows into nothing, its start-up and its wait for the end included."""
    await backlog.copy_slot(_SLOT)
    try:
        ran = await asyncio.to_thread(
            run_program,
            [
                programs() / "pg_recvlogical", "-h", HOST, "-p", str(postgres.port), "-U", "postgres",
                "-d", backlog.url.rpartition("/")[2], "-S", _SLOT, "--start", "-f", os.devnull, "-n",
                "-o", "proto_version=1", "-o", "binary=true", "-o", f"publication_names={backlog.publication}",
                "--endpos", backlog.end,
            ],
            120.0,
        )  # fmt: skip
    finally:
        await drop_slot(backlog.url, _SLOT)
    if ran.status != 0:
        raise NotMeasured(f"pg_recvlogical: {ran.last_line}")
    return {"rate": backlog.events / ran.seconds, "cpu_us_per_event": 1e6 * ran.cpu_seconds / backlog.events}
