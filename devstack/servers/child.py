"""Starts a server process under a guard, signals it, and waits for its end. It dies with us."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from devstack.servers.account import Account
from devstack.servers.errors import ServerError

MARK = "TANDEM_SERVER_DIRECTORY"
"""Environment variable that every process of a server carries: the server's directory. `leftovers.py` looks for it."""

_GUARD = Path(__file__).with_name("guard.py")
_TAIL_BYTES = 16_384


class Child:
    """One running server under its guard. `pid` is the server itself, not the guard."""

    def __init__(self, guard: asyncio.subprocess.Process, pid: int, log: Path) -> None:
        self._guard = guard
        self.pid = pid
        self.log = log

    @classmethod
    async def spawn(
        cls,
        command: Sequence[str | Path],
        *,
        directory: Path,
        log: Path,
        account: Account | None,
        environment: Mapping[str, str],
        death_signal: signal.Signals,
        grace: float = 3.0,
    ) -> "Child":
        """Starts `command` in `directory` under `account` (None: as we are), its output appended to `log`.

        The environment is exactly `environment` plus PATH, HOME, LANG and MARK. Nothing of our own environment is
        passed on.
        """
        identity = ("-", "-") if account is None else (str(account.uid), str(account.gid))
        guard = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", str(_GUARD), *identity, str(log), str(int(death_signal)), str(grace),
            *(str(part) for part in command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=directory,
            env=clean_environment(directory) | {MARK: str(directory)} | dict(environment),
            start_new_session=True,
        )  # fmt: skip
        assert guard.stdout is not None
        first_line = await guard.stdout.readline()
        if not first_line.strip().isdigit():
            await guard.wait()
            raise ServerError(f"The guard of {command[0]} ended before it started anything; its log is {log}.")
        return cls(guard, int(first_line), log)

    @property
    def exit_status(self) -> int | None:
        """The server's exit status (128 + n when signal n ended it), or None while it lives."""
        return self._guard.returncode

    async def wait(self) -> int:
        """Waits until the server and everything it started is gone; its exit status."""
        return await self._guard.wait()

    async def stop(self, how: signal.Signals, deadline: float) -> int:
        """Asks with the signal `how`, and after `deadline` seconds kills whatever is left; the exit status."""
        self.signal(how)
        try:
            return await asyncio.wait_for(self._guard.wait(), deadline)
        except TimeoutError:
            return await self.kill()

    async def kill(self) -> int:
        """Kills the server at once by SIGKILL; returns when all its processes have ended."""
        self.signal(signal.SIGKILL)
        return await self._guard.wait()

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the server; one that is gone already is no error."""
        if self.exit_status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def log_tail(self, lines: int = 15) -> str:
        """The last lines of the server's log, for the message of a failure."""
        return tail(self.log, lines)


def clean_environment(home: Path) -> dict[str, str]:
    """Returns the little that every program needs, without user settings such as PGHOST or ES_JAVA_OPTS."""
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "LANG": "C.UTF-8", "TZ": "UTC"}


def tail(log: Path, lines: int = 15) -> str:
    """Returns the last `lines` lines of a file; "" when there is no file."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""
