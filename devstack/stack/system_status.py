"""Observes every process of a stack: does it answer, is it ready, how far does the read side lag."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg

from devstack.stack.read_model_status import ReadModelStatus, read_model_status
from devstack.stack.topology import Topology

TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True)
class ProcessStatus:
    """`state` is up, degraded (it answers but is not ready) or down; `detail` says why, or what the process does."""

    name: str
    address: str
    state: str
    detail: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SystemStatus:
    """All processes, in the direction of the data, and the read model if it answers."""

    processes: tuple[ProcessStatus, ...]
    read_model: ReadModelStatus | None = None

    @property
    def state(self) -> str:
        """down if every process is down, degraded if any is not up, else up."""
        states = {process.state for process in self.processes}
        if states == {"down"}:
            return "down"
        return "up" if states == {"up"} else "degraded"

    @property
    def lag(self) -> Mapping[str, Any]:
        """The relay's report of its lag; empty when it does not answer."""
        return next((process.facts for process in self.processes if process.name == "relay"), {})

    def line(self) -> str:
        """One line for a terminal."""
        model = self.read_model
        stale = (
            "" if model is None or model.staleness_seconds is None else f", reads {model.staleness_seconds:.1f} s old"
        )
        wrong = [f"{process.name} {process.state}" for process in self.processes if process.state != "up"]
        age, backlog = self.lag.get("oldest_unpublished_age_seconds"), self.lag.get("backlog_events")
        lag = f"relay lag {age:.2f} s, {backlog} events" if isinstance(age, int | float) else "relay lag unknown"
        return f"{self.state}: {', '.join(wrong) or f'{len(self.processes)} processes'}; {lag}{stale}"


async def observe(topology: Topology) -> SystemStatus:
    """Asks all processes at once, each for at most two seconds."""
    asking = asyncio.create_task(read_model_status(topology.query, TIMEOUT_SECONDS))
    processes = await asyncio.gather(
        _postgres(topology.postgres_url),
        _server("nats", topology.nats_url, topology.nats_monitor_url, "/healthz"),
        _server("elasticsearch", topology.elasticsearch_url, topology.elasticsearch_url, "/_cluster/health"),
        _service("command", topology.command, topology.command_probes),
        _service("relay", topology.relay_probes, topology.relay_probes, "/lagz"),
        _service("query-project", topology.project_probes, topology.project_probes),
        _service("query-serve", topology.query, topology.serve_probes),
        _service("audit-notary", topology.notary_probes, topology.notary_probes),
        _service("audit-witness", topology.witness, topology.witness_probes),
    )
    return SystemStatus(tuple(processes), await asking)


async def _postgres(url: str) -> ProcessStatus:
    address = url.rpartition("@")[2]
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            async with await psycopg.AsyncConnection.connect(url) as connection:
                row = await (await connection.execute("show server_version")).fetchone()
    except (psycopg.Error, OSError, TimeoutError):
        return ProcessStatus("postgres", address, "down", "does not answer")
    return ProcessStatus("postgres", address, "up", f"version {row[0]}" if row else "")


async def _server(name: str, address: str, base: str, path: str) -> ProcessStatus:
    status, body = await fetch(base.partition("//")[2], path)
    if status is None:
        return ProcessStatus(name, address.partition("//")[2], "down", "does not answer")
    facts = document(body)
    state = "up" if status == 200 and facts.get("status") in ("ok", "green", "yellow") else "degraded"
    told = str(facts.get("status", ""))  # "ok" says no more than the state
    return ProcessStatus(name, address.partition("//")[2], state, "" if told == "ok" else told)


async def _service(name: str, address: str, probes: str, page: str = "") -> ProcessStatus:
    status, body = await fetch(probes, "/readyz")
    if status is None:
        return ProcessStatus(name, address, "down", "does not answer")
    facts = document((await fetch(probes, page))[1]) if page else {}
    if status != 200:
        return ProcessStatus(name, address, "degraded", body.strip(), facts)
    return ProcessStatus(name, address, "up", "", facts)


async def fetch(address: str, path: str) -> tuple[int | None, str]:
    """Returns status and body of a page at `HOST:PORT`; the status is None when nobody answers."""
    return await asyncio.to_thread(_fetch_blocking, address, path)


def _fetch_blocking(address: str, path: str) -> tuple[int | None, str]:
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return None, ""
    finally:
        connection.close()


def document(body: str) -> dict[str, Any]:
    """Parses a page as a JSON object; returns {} when it is not one."""
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
