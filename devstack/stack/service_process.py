"""Runs one of our processes in the local stack: starts it, waits until it is ready, restarts it when it ends."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from devstack.servers import ServerError
from devstack.servers.child import Child, tail
from devstack.servers.http_probe import get_status

READY_WITHIN_SECONDS = 60.0
STOP_WITHIN_SECONDS = 25.0
_REFUSED_TO_START = 2
_RESTART_DELAYS = (0.2, 0.5, 1.0, 2.0, 5.0)


class ServiceProcess:
    """`python -m <arguments>` with its settings; ready when `/readyz` on `probes` answers 200."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        settings: Mapping[str, str],
        probes: str,
        directory: Path,
        on_restart: Callable[[str, int], None] | None = None,
    ) -> None:
        self.name = name
        self.probes = probes
        self.restarts = 0
        self._command: list[str | Path] = [sys.executable, "-m", *arguments]
        self._settings, self._directory = settings, directory
        self._on_restart = on_restart
        self._child: Child | None = None
        self._watcher: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._child.pid if self._child is not None and self._child.exit_status is None else None

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self._directory / f"{self.name}.log"

    async def start(self) -> None:
        """Starts it and returns when it is ready; raises ServerError with the end of its log otherwise."""
        await self._spawn()
        deadline = asyncio.get_running_loop().time() + READY_WITHIN_SECONDS
        port = int(self.probes.rpartition(":")[2])
        while await get_status(port, "/readyz") != 200:
            assert self._child is not None
            if self._child.exit_status is not None:
                raise ServerError(f"{self.name} did not start: {self._reason()}")
            if asyncio.get_running_loop().time() > deadline:
                await self._child.kill()
                raise ServerError(f"{self.name} was not ready after {READY_WITHIN_SECONDS:.0f} s: {self._reason()}")
            await asyncio.sleep(0.05)
        self._watcher = asyncio.create_task(self._keep_running())

    async def stop(self) -> None:
        """Stops it by SIGTERM, and by SIGKILL if it does not end in time."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
            self._watcher = None
        if self._child is not None:
            await self._child.stop(signal.SIGTERM, STOP_WITHIN_SECONDS)
            self._child = None

    async def _spawn(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._child = await Child.spawn(
            self._command,
            directory=self._directory,
            log=self.log,
            account=None,
            environment=self._settings,
            death_signal=signal.SIGTERM,
        )

    async def _keep_running(self) -> None:
        while True:
            assert self._child is not None
            status = await self._child.wait()
            delay = _RESTART_DELAYS[min(self.restarts, len(_RESTART_DELAYS) - 1)]
            self.restarts += 1
            if self._on_restart is not None:
                self._on_restart(self.name, status)
            await asyncio.sleep(delay)
            await self._spawn()

    def _reason(self) -> str:
        lines = tail(self.log, 12)
        if self._child is not None and self._child.exit_status == _REFUSED_TO_START:
            return lines.splitlines()[-1] if lines else "it refused its settings"
        return f"the end of its log {self.log}:\n{lines}"


async def run_once(name: str, arguments: Sequence[str], settings: Mapping[str, str], directory: Path) -> None:
    """Runs `python -m <arguments>` to its end; raises ServerError with its output when it fails."""
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / f"{name}.log"
    child = await Child.spawn(
        [sys.executable, "-m", *arguments],
        directory=directory,
        log=log,
        account=None,
        environment=settings,
        death_signal=signal.SIGTERM,
    )
    try:
        status = await child.wait()
    except asyncio.CancelledError:
        await child.kill()
        raise
    if status != 0:
        raise ServerError(f"{' '.join(arguments)} failed: {tail(log, 12)}")
