"""Runs our relay as a process of its own, as deployed, with settings from the environment."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.harness import stream
from bench.harness.checkout import WORKING_TREE, Checkout
from bench.harness.process_usage import cpu_seconds, peak_memory_mib
from bench.harness.rounds import NotMeasured
from devstack.servers.child import Child
from devstack.servers.http_probe import get_json
from devstack.servers.ports import HOST, free_port

READY_SECONDS = 30.0
STOP_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class RelayRun:
    """A running relay process."""

    child: Child
    probes_port: int

    @property
    def cpu_seconds(self) -> float:
        """The CPU seconds that the relay has used so far."""
        return cpu_seconds(self.child.pid)

    @property
    def peak_memory_mib(self) -> float:
        """The relay's peak memory in MiB."""
        return peak_memory_mib(self.child.pid)

    def require_alive(self) -> None:
        """Raises NotMeasured, with the end of the relay's log, when the relay has ended."""
        if self.child.exit_status is not None:
            raise NotMeasured(f"the relay ended: {self.child.log_tail(5)}")

    async def page(self) -> dict[str, Any]:
        """Returns the relay's lag page (`/lagz`), or an empty one while the relay does not answer."""
        return await get_json(self.probes_port, "/lagz") or {}

    async def wait_until_publishing(self, mode: str) -> None:
        """Waits until the relay publishes with a cursor of `mode`. Raises NotMeasured after READY_SECONDS."""
        deadline = asyncio.get_running_loop().time() + READY_SECONDS
        while True:
            self.require_alive()
            page = await self.page()
            if page.get("state") == "PUBLISHING" and f";{mode};" in str(page.get("cursor")):
                return
            if asyncio.get_running_loop().time() > deadline:
                raise NotMeasured(f"the relay does not publish in mode {mode}: {page}")
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """Sends SIGTERM and waits until the relay has ended."""
        await self.child.stop(signal.SIGTERM, STOP_SECONDS)


@contextlib.asynccontextmanager
async def running_relay(
    directory: Path, database_url: str, nats_url: str, mode: str, checkout: Checkout = WORKING_TREE, **settings: str
) -> AsyncIterator[RelayRun]:
    """Runs a relay within the block. `settings` are further `RELAY_…` variables, in lower case without the prefix."""
    directory.mkdir(exist_ok=True)
    port = free_port()
    environment = {
        **checkout.environment,
        "RELAY_DATABASE_URL": database_url,
        "RELAY_NATS_URL": nats_url,
        "RELAY_STREAM": stream.NAME,
        "RELAY_SUBJECT_TEMPLATE": stream.TEMPLATE,
        "RELAY_BARRIER_SUBJECT": stream.BARRIER,
        "RELAY_MODE": mode,
        "RELAY_PROBES_LISTEN": f"{HOST}:{port}",
        **{f"RELAY_{name.upper()}": value for name, value in settings.items()},
    }
    child = await Child.spawn(
        [sys.executable, "-m", "relay"],
        directory=directory,
        log=directory / "relay.log",
        account=None,
        environment=environment,
        death_signal=signal.SIGTERM,
    )
    run = RelayRun(child, port)
    try:
        yield run
    finally:
        await run.stop()
