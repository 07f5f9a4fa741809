"""Starts the servers that a bench calls: the command service as deployed, and bare servers to compare it with."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from bench.harness.checkout import WORKING_TREE, Checkout
from devstack.servers.ports import HOST, free_port
from devstack.stack.service_process import ServiceProcess


@dataclass(frozen=True, slots=True)
class Serving:
    """The address and the process id of a running server."""

    address: str
    pid: int


@contextlib.asynccontextmanager
async def command_service(
    directory: Path, database_url: str, checkout: Checkout = WORKING_TREE, **settings: str
) -> AsyncIterator[Serving]:
    """Runs the service within the block. `settings` are non-default settings: `pool_size` is COMMAND_POOL_SIZE."""
    directory.mkdir(exist_ok=True)
    address, probes = f"{HOST}:{free_port()}", f"{HOST}:{free_port()}"
    service = ServiceProcess(
        "command",
        ["command_service", "serve"],
        settings={
            **checkout.environment,
            "COMMAND_DATABASE_URL": database_url,
            "COMMAND_LISTEN": address,
            "COMMAND_EXPORT_LISTEN": "",
            "COMMAND_PROBES_LISTEN": probes,
            **{f"COMMAND_{name.upper()}": value for name, value in settings.items()},
        },
        probes=probes,
        directory=directory,
    )
    await service.start()
    try:
        assert service.pid is not None
        yield Serving(address, service.pid)
    finally:
        await service.stop()


@contextlib.asynccontextmanager
async def bare_server(kind: str, answer_bytes: int) -> AsyncIterator[Serving]:
    """Runs a bare server within the block. `kind` is `empty` or `refusing`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.commands.bare_server", kind, str(answer_bytes)), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield Serving((await process.stdout.readline()).decode().strip(), process.pid)
    finally:
        process.kill()
        await process.wait()
