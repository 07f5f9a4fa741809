"""Measures PGSync on the same Postgres and Elasticsearch, with the scripts that run peers (see `bench.relay.peers`).

PGSync reads as many orders, of three lines each, from its own tables, and writes a small document for each order. Its
rate is the number of orders divided by the time until the process ends by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
import shutil
import statistics
from collections.abc import AsyncIterator

import orjson

from bench.harness.program import Ran, run_program
from bench.harness.progress import tell
from bench.harness.rounds import Figures, NotMeasured
from bench.harness.servers import ReadServers
from bench.harness.settings import BenchSettings
from bench.reads.read_side import elasticsearch
from devstack.servers.maven import VERSION
from devstack.servers.ports import HOST, free_port

NAME = "PGSync"
SCRIPT = "sync_bench.py"
#: The index into which the scripts let PGSync write.
INDEX = "pgsync_orders"
RUN_SECONDS = 500.0


class SyncPeer:
    """Runs the scripts. Every failure becomes NotMeasured, with the reason."""

    def __init__(self, settings: BenchSettings, servers: ReadServers, orders: int) -> None:
        self._settings, self._servers, self._orders = settings, servers, orders
        self._home = servers.directory / "peers"
        self._redis_port = free_port()
        self._absent = ""

    @contextlib.asynccontextmanager
    async def ready(self) -> AsyncIterator[None]:
        """Writes PGSync's rows, and runs its Redis within the block. `sync` reports a failure of this."""
        self._absent = self._missing()
        async with contextlib.AsyncExitStack() as stack:
            if not self._absent:
                await stack.enter_async_context(self._redis())
                self._lay_out()
                ran = await self._script("seed")
                self._absent = "" if ran.status == 0 else f"{NAME}'s rows could not be written: {ran.last_line}"
            tell(self._absent or f"{NAME} has {self._orders} orders to read")
            yield

    async def sync(self) -> Figures:
        """Runs PGSync's first synchronisation of all rows, and returns its figures."""
        if self._absent:
            raise NotMeasured(self._absent)
        ran = await self._script("pgsync")
        for line in ran.output.splitlines():
            with contextlib.suppress(ValueError):
                said = json.loads(line)
                if "initial" in said.get("peer", ""):
                    return {**self._figures(said, line), "bytes_per_document": await self._document_bytes()}
        raise NotMeasured(f"{NAME} gave no figures: {ran.last_line}")

    def _figures(self, said: dict[str, float], line: str) -> Figures:
        if not said["docs"]:
            raise NotMeasured(f"{NAME} wrote nothing: {line}")
        return {
            "rate": said["docs"] / said["span_s"],
            "cpu_us_per_event": 1e6 * said["cpu_s"] / said["docs"],
            "elasticsearch_cpu_us_per_event": 1e6 * said["es_cpu_s"] / said["docs"],
            "peak_mib": said["rss_mib"],
            "documents": said["docs"],
        }

    async def _document_bytes(self) -> float:
        """Returns how many bytes of JSON a document of PGSync has, from some of them."""
        async with elasticsearch(self._servers.elasticsearch.url) as connection:
            _, found = await connection.request("POST", f"/{INDEX}/_search", body={"size": 100})
        return statistics.mean(len(orjson.dumps(one["_source"])) for one in found["hits"]["hits"])

    def _missing(self) -> str:
        """Returns what must be installed before the peer can run; "" if nothing. It installs nothing itself."""
        scripts, home = self._settings.peers_scripts, self._settings.peers_directory
        if not (scripts / SCRIPT).is_file():
            return f"no script {SCRIPT} in {scripts} (set PEERS_SCRIPTS)"
        if not (home / "venv-pgsync" / "bin" / "pgsync").exists():
            return f"{NAME} is not installed in {home}: run {scripts / 'setup.sh'} with PEERS_DIR={home}"
        return "" if shutil.which("redis-server") else f"{NAME} needs a redis-server"

    @contextlib.asynccontextmanager
    async def _redis(self) -> AsyncIterator[None]:
        process = await asyncio.create_subprocess_exec(
            *("redis-server", "--port", str(self._redis_port), "--bind", HOST, "--save", "", "--appendonly", "no"),
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            process.terminate()
            await process.wait()

    async def _script(self, *arguments: str) -> Ran:
        scripts, servers = self._settings.peers_scripts, self._servers
        command = f'. {shlex.quote(str(scripts / "env.sh"))}; exec "$VENV/bin/python" "$@"'
        environment = {
            "PEERS_DIR": str(self._home),
            "PG_PORT": str(servers.postgres.port),
            "PG15_PORT": str(servers.postgres.port),
            "NATS_PORT": str(servers.nats.port),
            "ES_PORT": str(servers.elasticsearch.port),
            "ES_VERSION": VERSION,
            "REDIS_PORT": str(self._redis_port),
            "N": str(self._orders),
            "REPS": "1",
            "PROBES": "1",
            "RESULTS": str(self._home / "results.jsonl"),
        }
        return await asyncio.to_thread(
            run_program, ["bash", "-c", command, "bench", scripts / SCRIPT, *arguments], RUN_SECONDS, environment
        )

    def _lay_out(self) -> None:
        """Creates the directory that the scripts expect, with the process ids of our servers."""
        postgres, elasticsearch = self._home / "run" / "pg15", self._home / "es" / f"elasticsearch-{VERSION}"
        for directory in (postgres, elasticsearch):
            directory.mkdir(parents=True, exist_ok=True)
        (postgres / "postmaster.pid").write_text(f"{self._servers.postgres.pid}\n")
        (elasticsearch / "pid").write_text(f"{self._servers.elasticsearch.pid}\n")
        for name in ("venv", "venv-pgsync"):
            (self._home / name).symlink_to(self._settings.peers_directory / name)
