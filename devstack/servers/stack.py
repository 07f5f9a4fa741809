"""Runs Postgres, NATS and Elasticsearch together, for the local stack and for tests."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from devstack.servers.elasticsearch import ElasticsearchServer
from devstack.servers.local_server import LocalServer
from devstack.servers.nats import NatsServer
from devstack.servers.postgres import PostgresServer
from devstack.servers.progress import Listener


@dataclass(frozen=True)
class Ports:
    """TCP ports on loopback; with 0 the operating system chooses.

    The settings TANDEM_POSTGRES_PORT, TANDEM_NATS_PORT, TANDEM_NATS_MONITOR_PORT and TANDEM_ELASTICSEARCH_PORT are read
    by the caller, and only named in messages here.
    """

    postgres: int = 0
    nats: int = 0
    nats_monitor: int = 0
    elasticsearch: int = 0


class LocalServers:
    """The three servers under one `directory`. Each phase runs for all three at once, before the next phase begins.

    `start()` does whatever of `download()` and `install()` was not called before. A failure of one stops the others
    and is raised as it is (a ServerError).
    """

    def __init__(
        self,
        directory: Path,
        ports: Ports = Ports(),
        *,
        cache: Path | None = None,
        heap_mb: int = 512,
        listener: Listener | None = None,
    ) -> None:
        self.postgres = PostgresServer(directory, port=ports.postgres, cache=cache, listener=listener)
        self.nats = NatsServer(
            directory, port=ports.nats, monitor_port=ports.nats_monitor, cache=cache, listener=listener
        )
        self.elasticsearch = ElasticsearchServer(
            directory, port=ports.elasticsearch, heap_mb=heap_mb, cache=cache, listener=listener
        )

    @property
    def all(self) -> tuple[LocalServer, ...]:
        """The servers, in the order in which data passes through them."""
        return (self.postgres, self.nats, self.elasticsearch)

    async def download(self) -> None:
        """Downloads the software that this machine lacks."""
        await self._each(lambda server: server.download())

    async def install(self) -> None:
        """Unpacks programs, makes data directories, ends what a killed run left."""
        await self._each(lambda server: server.install())

    async def start(self) -> None:
        """Starts all three and returns when each serves clients."""
        await self.download()
        await self.install()
        await self._each(lambda server: server.start())

    async def stop(self) -> None:
        """Stops all three in an orderly way."""
        await asyncio.gather(*(server.stop() for server in self.all))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _each(self, step: Callable[[LocalServer], Awaitable[None]]) -> None:
        tasks = [asyncio.ensure_future(step(server)) for server in self.all]
        try:
            await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.stop()
            raise
