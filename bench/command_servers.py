"""Servers of calls: the command service as it is deployed, and bare ones beside it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from devstack.servers.ports import HOST, free_port
from devstack.service_process import ServiceProcess


@contextlib.asynccontextmanager
async def command_service(directory: Path, database_url: str, **settings: str) -> AsyncIterator[str]:
    """The address of a serving process with default settings but for `settings` (`COMMAND_…` in lower case)."""
    directory.mkdir(exist_ok=True)
    address, probes = f"{HOST}:{free_port()}", f"{HOST}:{free_port()}"
    service = ServiceProcess(
        "command",
        ["command_service", "serve"],
        settings={
            "COMMAND_DATABASE_URL": database_url,
            "COMMAND_LISTEN": address,
            "COMMAND_PROBES_LISTEN": probes,
            **{f"COMMAND_{name.upper()}": value for name, value in settings.items()},
        },
        probes=probes,
        directory=directory,
    )
    await service.start()
    try:
        yield address
    finally:
        await service.stop()


@contextlib.asynccontextmanager
async def bare_server(kind: str, answer_bytes: int) -> AsyncIterator[str]:
    """The address of an `empty` or `refusing` server."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.bare_server", kind, str(answer_bytes)), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.kill()
        await process.wait()
