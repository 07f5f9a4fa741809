"""Measures how fast the servers alone are, by NATS's own bench and by Postgres's own reader of the write-ahead log.

The program `nats` (natscli) must be in the peers' directory or on PATH.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from pathlib import Path

import nats
from nats.js.errors import NotFoundError

from bench.harness.program import run_program
from bench.harness.rounds import Figures, NotMeasured, Run
from bench.harness.servers import programs
from bench.harness.settings import BenchSettings
from bench.relay.backlog import Backlog, drop_slot
from devstack.servers import NatsServer, PostgresServer
from devstack.servers.ports import HOST

#: The message size: as many bytes as the peer with the smallest messages stores for a payload of 400 bytes. If it were
#: the size of our messages, larger headers would make the floor lower.
MESSAGE_BYTES = 600
_RATE = re.compile(r"stats: ([\d,]+) msgs/sec")
_SLOT = "bench_floor"


def find_nats_cli(settings: BenchSettings) -> Path:
    """Returns the path of the `nats` program. Raises NotMeasured, with the places searched, when there is none."""
    own = settings.peers_directory / "gobin" / "nats"
    found = own if own.exists() else shutil.which("nats")
    if not found:
        raise NotMeasured(f"no program nats (natscli) in {own.parent} nor on PATH")
    return Path(found)


async def nats_bench(settings: BenchSettings, server: NatsServer, kind: str, size: int = MESSAGE_BYTES) -> Figures:
    """Runs `nats bench js pub <kind>` with message ids, in batches of 500, with messages of `size` bytes.

    Returns rate, CPU time per message, and how many bytes the stream stored for each.
    """
    cli: list[str | Path] = [find_nats_cli(settings), "-s", server.url]
    await asyncio.to_thread(run_program, [*cli, "stream", "rm", "-f", "BENCH_FLOOR"], 30.0)
    ran = await asyncio.to_thread(
        run_program,
        [
            *cli, "bench", "js", "pub", kind, "bench.floor", "--no-progress", "--size", str(size),
            "--msgs", str(settings.events), "--create", "--stream", "BENCH_FLOOR", "--storage", "file",
            "--batch", "500", "--dedup",
        ],
        120.0,
    )  # fmt: skip
    stored = await _bytes_per_message(server)
    await asyncio.to_thread(run_program, [*cli, "stream", "rm", "-f", "BENCH_FLOOR"], 30.0)
    found = _RATE.search(ran.output)
    if found is None:
        raise NotMeasured(f"nats bench: {ran.last_line}")
    rate = float(found[1].replace(",", ""))
    cpu = 1e6 * ran.cpu_seconds / settings.events
    return {"rate": rate, "cpu_us_per_event": cpu, "bytes_per_message": stored}


async def _bytes_per_message(server: NatsServer) -> float:
    client = await nats.connect(server.url)
    try:
        state = (await client.jetstream().stream_info("BENCH_FLOOR")).state
        return state.bytes / max(1, state.messages)
    except NotFoundError:
        return 0.0
    finally:
        await client.close()


class SameSize:
    """Runs `nats bench async` with messages for which the stream stores as many bytes as for ours."""

    def __init__(self, settings: BenchSettings, server: NatsServer) -> None:
        self._settings, self._server = settings, server
        self._ours = self._floors = 0.0

    async def floor(self) -> Figures:
        """Runs the bench with messages of MESSAGE_BYTES."""
        figures = await nats_bench(self._settings, self._server, "async")
        self._floors = figures["bytes_per_message"]
        return figures

    async def ours(self, drain: Run) -> Figures:
        """Runs our drain."""
        figures = await drain()
        self._ours = figures["bytes_per_message"]
        return figures

    async def same(self) -> Figures:
        """Runs the bench with messages as large as those of our last drain. Both others must have run."""
        find_nats_cli(self._settings)
        if not self._ours or not self._floors:
            raise NotMeasured("the size of the messages was not measured")
        size = MESSAGE_BYTES + round(self._ours - self._floors)
        return await nats_bench(self._settings, self._server, "async", size)


async def recvlogical(postgres: PostgresServer, backlog: Backlog) -> Figures:
    """Runs `pg_recvlogical` over the backlog's rows and discards them.

    The rate includes the program's start-up and its wait for the end.
    """
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
