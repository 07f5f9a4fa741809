"""Runs the whole system on this machine: three servers and six processes, started in order of their needs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from devstack.servers import Listener, LocalServers
from devstack.stack.audit_files import audit_settings
from devstack.stack.service_process import ServiceProcess, run_once
from devstack.stack.topology import Topology, require_free_services, server_ports, service_address


class LocalStack:
    """Starts and stops everything below `directory`. `durations` holds seconds per phase: download, install, start."""

    def __init__(
        self,
        directory: Path,
        *,
        listener: Listener | None = None,
        on_restart: Callable[[str, int], None] | None = None,
    ) -> None:
        self._directory = directory
        self._on_restart = on_restart
        self.servers = LocalServers(directory / "servers", server_ports(), listener=listener)
        self.services: list[ServiceProcess] = []
        self.durations: dict[str, float] = {}
        self._addresses = {
            "command": service_address("TANDEM_COMMAND_PORT"),
            "query": service_address("TANDEM_QUERY_PORT"),
            "export": service_address("TANDEM_EXPORT_PORT"),
            "command_probes": service_address("TANDEM_COMMAND_PROBES_PORT"),
            "relay_probes": service_address("TANDEM_RELAY_PROBES_PORT"),
            "serve_probes": service_address("TANDEM_SERVE_PROBES_PORT"),
            "project_probes": service_address("TANDEM_PROJECT_PROBES_PORT"),
            "notary_probes": service_address("TANDEM_NOTARY_PROBES_PORT"),
            "witness_probes": service_address("TANDEM_WITNESS_PROBES_PORT"),
            "witness": service_address("TANDEM_WITNESS_PORT"),
        }

    @property
    def topology(self) -> Topology:
        """Where everything listens; valid once the servers are up."""
        return Topology(
            postgres_url=self.servers.postgres.url,
            nats_url=self.servers.nats.url,
            nats_monitor_url=self.servers.nats.monitor_url,
            elasticsearch_url=self.servers.elasticsearch.url,
            **self._addresses,
        )

    async def start(self) -> Topology:
        """Starts everything; on any failure stops what had started and raises ServerError."""
        try:
            await require_free_services()
            await self._timed("download", self.servers.download)
            await self._timed("install", self.servers.install)
            await self._timed("start", self._start)
        except BaseExceptionGroup as group:
            await self.stop()
            raise group.exceptions[0] from None
        except BaseException:
            await self.stop()
            raise
        return self.topology

    async def stop(self) -> None:
        """Stops the processes in the direction of the data, so accepted orders still move on, then the servers."""
        for service in self.services:
            await service.stop()
        await self.servers.stop()

    async def _timed(self, phase: str, step: Callable[[], object]) -> None:
        begun = time.monotonic()
        await step()  # type: ignore[misc]
        self.durations[phase] = time.monotonic() - begun

    async def _start(self) -> None:
        async with asyncio.TaskGroup() as group:
            postgres = group.create_task(self.servers.postgres.start())
            nats = group.create_task(self.servers.nats.start())
            elasticsearch = group.create_task(self.servers.elasticsearch.start())
            relay = group.create_task(self._write_side(postgres, nats))
            group.create_task(self._read_side(relay, elasticsearch))
            group.create_task(self._audit_log(relay))

    async def _write_side(self, postgres: asyncio.Task[None], nats: asyncio.Task[None]) -> None:
        await asyncio.gather(postgres, nats)
        # Only the servers' own addresses are known for certain here; Elasticsearch may still be choosing its port.
        await run_once(
            "command-migrate", ["command_service", "migrate"], self.topology.settings(), self._directory / "services"
        )
        await asyncio.gather(
            self._service("command", ["command_service", "serve"], self._addresses["command_probes"]),
            self._service("relay", ["relay", "run"], self._addresses["relay_probes"]),
        )

    async def _read_side(self, relay: asyncio.Task[None], elasticsearch: asyncio.Task[None]) -> None:
        # The relay makes the stream, and the projector's consumer needs it.
        await asyncio.gather(relay, elasticsearch)
        await run_once(
            "query-migrate", ["query_service", "migrate"], self.topology.settings(), self._directory / "services"
        )
        await asyncio.gather(
            self._service(
                "query-serve", ["query_service", "serve"], self._addresses["serve_probes"], "QUERY_PROBES_LISTEN"
            ),
            self._service(
                "query-project", ["query_service", "project"], self._addresses["project_probes"], "QUERY_PROBES_LISTEN"
            ),
        )

    async def _audit_log(self, relay: asyncio.Task[None]) -> None:
        # While Elasticsearch still starts. The notary needs the stream that the relay makes.
        await relay
        await run_once("audit-migrate", ["audit", "migrate"], self._settings(), self._directory / "services")
        probes = "AUDIT_PROBES_LISTEN"
        await asyncio.gather(
            self._service("audit-notary", ["audit", "notary"], self._addresses["notary_probes"], probes),
            self._service("audit-witness", ["audit", "witness"], self._addresses["witness_probes"], probes),
        )

    def _settings(self) -> dict[str, str]:
        return self.topology.settings() | audit_settings(self.topology, self._directory)

    async def _service(self, name: str, arguments: list[str], probes: str, probes_setting: str = "") -> None:
        settings = self._settings()
        if probes_setting:
            settings[probes_setting] = probes
        service = ServiceProcess(
            name,
            arguments,
            settings=settings,
            probes=probes,
            directory=self._directory / "services",
            on_restart=self._on_restart,
        )
        self.services.append(service)
        await service.start()
