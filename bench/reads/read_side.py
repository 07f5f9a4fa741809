"""Runs the read side's processes as deployed. Each read model has its own indices."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.commands.servers import Serving
from bench.harness import stream
from bench.harness.checkout import WORKING_TREE, Checkout
from bench.harness.servers import ReadServers
from devstack.servers.ports import HOST, free_port
from devstack.stack.service_process import ServiceProcess, run_once
from query_service.storage.physical.connection import ElasticsearchConnection
from query_service.storage.physical.names import IndexNames

REQUEST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ReadModel:
    """A read model of a bench: its indices, the consumer of the stream that fills them, and its processes.

    `name` is the name of the consumer and the prefix of the indices. `elasticsearch_url` is where its processes reach
    Elasticsearch; empty: the server itself. `stream_name` is the stream; `checkout` is the code that the processes run.
    """

    servers: ReadServers
    name: str
    elasticsearch_url: str = ""
    stream_name: str = stream.NAME
    checkout: Checkout = WORKING_TREE

    @property
    def names(self) -> IndexNames:
        """The names of the read model's indices."""
        return IndexNames(f"{self.name}-")

    @property
    def settings(self) -> dict[str, str]:
        """The environment variables that all its processes share."""
        return {
            **self.checkout.environment,
            "QUERY_ELASTICSEARCH_URL": self.elasticsearch_url or self.servers.elasticsearch.url,
            "QUERY_NATS_URL": self.servers.nats.url,
            "QUERY_STREAM": self.stream_name,
            "QUERY_CONSUMER": self.name,
            "QUERY_INDEX_PREFIX": f"{self.name}-",
        }

    @property
    def directory(self) -> Path:
        """The directory of the processes' logs."""
        return self.servers.directory / self.name

    async def migrate(self) -> None:
        """Creates the indices and the consumer. The stream must exist."""
        await run_once(f"migrate-{self.name}", ["query_service", "migrate"], self.settings, self.directory)

    @contextlib.asynccontextmanager
    async def projecting(self, number: int = 1) -> AsyncIterator[Serving]:
        """Runs a projector within the block. The yielded address is that of its metrics."""
        async with self._process(f"project-{number}", "project", {}) as (pid, probes):
            yield Serving(probes, pid)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Serving]:
        """Runs a process that answers queries within the block."""
        address = f"{HOST}:{free_port()}"
        async with self._process("serve", "serve", {"QUERY_LISTEN": address}) as (pid, _):
            yield Serving(address, pid)

    async def drop(self, connection: ElasticsearchConnection) -> None:
        """Deletes the indices."""
        _, found = await connection.request("GET", f"/{self.name}-*/_alias")
        for index in found:
            await connection.request("DELETE", f"/{index}")

    async def counts(self, connection: ElasticsearchConnection) -> tuple[int, int]:
        """Returns how many orders and how many events the indices contain."""
        counted = []
        for alias in (self.names.orders, self.names.entries):
            await connection.request("POST", f"/{alias}/_refresh")
            counted.append(int((await connection.request("GET", f"/{alias}/_count"))[1]["count"]))
        return counted[0], counted[1]

    @contextlib.asynccontextmanager
    async def _process(self, name: str, command: str, settings: dict[str, str]) -> AsyncIterator[tuple[int, str]]:
        probes = f"{HOST}:{free_port()}"
        service = ServiceProcess(
            name,
            ["query_service", command],
            settings={**self.settings, "QUERY_PROBES_LISTEN": probes, **settings},
            probes=probes,
            directory=self.directory,
        )
        await service.start()
        try:
            assert service.pid is not None
            yield service.pid, probes
        finally:
            await service.stop()


@contextlib.asynccontextmanager
async def elasticsearch(url: str) -> AsyncIterator[ElasticsearchConnection]:
    """Yields a connection of the client that the services use."""
    connection = ElasticsearchConnection(url, request_timeout=REQUEST_SECONDS, connections=100)
    try:
        yield connection
    finally:
        await connection.close()


def numbered(prefix: str) -> Iterator[str]:
    """Yields `prefix` with the numbers 1, 2, 3, …, without end."""
    number = 0
    while True:
        number += 1
        yield f"{prefix}{number}"
