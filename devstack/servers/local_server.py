"""Runs one local server: download → install → start → stop, kill, restart, the same for all three."""

import asyncio
import signal
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Self

from devstack.servers.account import Account, server_account
from devstack.servers.child import Child
from devstack.servers.errors import ServerError
from devstack.servers.leftovers import DirectoryLock, end_leftovers
from devstack.servers.place import cache_directory, enterable, owned
from devstack.servers.ports import HOST, free_port, require_free
from devstack.servers.progress import Listener, Phase, PhaseClock

_PORT_ATTEMPTS = 3


class LocalServer(ABC):
    """A real server on loopback whose files lie under `directory`/<name>, and which dies with this process.

    With `port` 0 the operating system chooses. A restart of this object keeps the port and the data. `port_setting` is
    named in the message when the port is busy. Every failure is a ServerError: one sentence, followed by the end of
    the server's log if there is one.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    start_within: ClassVar[float] = 60.0
    stop_within: ClassVar[float] = 20.0
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    death_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(
        self,
        directory: Path,
        *,
        port: int = 0,
        port_setting: str = "",
        cache: Path | None = None,
        listener: Listener | None = None,
    ) -> None:
        self._directory = directory.absolute()
        self._cache = cache or cache_directory()
        self._given_port = port
        self._port_setting = port_setting or f"TANDEM_{self.name.upper()}_PORT"
        self._clock = PhaseClock(self.name, listener)
        self._lock: DirectoryLock | None = None
        self._child: Child | None = None
        self._downloaded = False
        self.port = port
        self.account: Account | None = None
        self.home = self._directory / self.name
        self.version = ""

    # What each kind of server defines:

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients connect; valid from the first start on."""

    @abstractmethod
    async def _install(self) -> None:
        """Puts the software where the account can run it, and creates the files that the server needs in `home`."""

    @abstractmethod
    def _command(self) -> list[str | Path]:
        """The command line; writes the configuration for the current port first."""

    @abstractmethod
    async def _ready(self) -> bool:
        """Whether clients are served now; sets `version` when they are."""

    async def _download(self) -> None:  # noqa: B027 - a step, not a duty
        """Downloads what the environment lacks; most servers need nothing."""

    def _environment(self) -> dict[str, str]:
        return {}

    # the life

    @property
    def durations(self) -> dict[Phase, float]:
        """Seconds that each finished phase took: download, install, start."""
        return dict(self._clock.durations)

    @property
    def running(self) -> bool:
        """Whether the server's process lives."""
        return self._child is not None and self._child.exit_status is None

    @property
    def pid(self) -> int:
        """Process id of the server; a ServerError when it does not run."""
        if self._child is None or self._child.exit_status is not None:
            raise ServerError(f"{self.title} does not run.")
        return self._child.pid

    @property
    def log(self) -> Path:
        """The file that holds the server's own output."""
        return self.home / f"{self.name}.log"

    async def download(self) -> None:
        """Downloads the server's software if this machine lacks it."""
        if not self._downloaded:
            await self._download()
            self._downloaded = True

    async def install(self) -> None:
        """Locks the directory, ends processes that a killed run left in it, and prepares the start."""
        if self._lock is not None:
            return
        await self.download()
        with self._clock.phase("install"):
            self.account = await server_account()
            self.home = owned(enterable(self._directory, self.account) / self.name, self.account)
            lock = DirectoryLock(self.home, self.title)
            try:
                await asyncio.to_thread(end_leftovers, self.home)
                await self._install()
            except BaseException:
                lock.release()
                raise
            self._lock = lock

    async def start(self) -> None:
        """Starts the server and returns when it serves clients. Does nothing when it runs."""
        if self.running:
            return
        await self.install()
        with self._clock.phase("start"):
            for attempt in range(_PORT_ATTEMPTS):
                await self._choose_port(again=attempt > 0)
                try:
                    await self._start_once()
                    break
                except ServerError:
                    # Another process may take a port that the system chose for us before the server binds it.
                    lost_port = not self._given_port and "in use" in (self._child.log_tail(40) if self._child else "")
                    if not lost_port or attempt + 1 == _PORT_ATTEMPTS:
                        raise

    async def stop(self) -> None:
        """Stops the server in an orderly way and gives its directory up. Does nothing when it does not run."""
        if self._child is not None:
            await self._child.stop(self.stop_signal, self.stop_within)
            self._child = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    async def kill(self) -> None:
        """Kills the server by SIGKILL, like a crash; returns when all its processes have ended. Keeps data and port."""
        if self._child is not None:
            await self._child.kill()

    async def restart(self) -> None:
        """Stops (orderly, unless it is dead already) and starts again on the same port and data."""
        if self._child is not None:
            await self._child.stop(self.stop_signal, self.stop_within)
        await self.start()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # inside

    async def _choose_port(self, *, again: bool) -> None:
        if not self.port or again:
            self.port = free_port()
        else:
            await require_free(self.port, self.title, self._port_setting)

    async def _start_once(self) -> None:
        child = self._child = await Child.spawn(
            self._command(), directory=self.home, log=self.log, account=self.account,
            environment=self._environment(), death_signal=self.death_signal,
        )  # fmt: skip
        try:
            await self._await_ready(child)
        except BaseException:
            await child.kill()
            raise

    async def _await_ready(self, child: Child) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.start_within
        while child.exit_status is None:
            if await self._ready():
                return
            if loop.time() > deadline:
                raise ServerError(self._failure(f"was not ready after {self.start_within:.0f} s", child))
            await asyncio.sleep(0.05)
        raise ServerError(self._failure(f"ended with status {child.exit_status} while it started", child))

    def _failure(self, what: str, child: Child) -> str:
        return f"{self.title} {what} on {HOST}:{self.port}; the end of its log {self.log}:\n{child.log_tail()}"
