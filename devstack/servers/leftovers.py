"""Ends the processes of a killed run before a new start. They are found by the mark they carry."""

import fcntl
import os
from pathlib import Path
from typing import Self

import psutil

from devstack.servers.child import MARK
from devstack.servers.errors import AlreadyRunning, ServerError

_END_WITHIN = 10.0


class DirectoryLock:
    """A lock on a server's directory, owned by one live process. The kernel releases it when that process dies."""

    def __init__(self, directory: Path, server: str) -> None:
        path = directory / ".lock"
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._file, 32, 0).decode().strip() or "unknown"
            os.close(self._file)
            raise AlreadyRunning(
                f"{server} already runs in {directory}, kept by process {holder}: stop that one first."
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Releases the directory; a second call does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def processes_of(directory: Path) -> list[psutil.Process]:
    """Lists live processes of the server in `directory`: those with its MARK, and Postgres backends in it."""
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            ours = process.environ().get(MARK) == str(directory) or (
                # Postgres backends overwrite their environment with their title, but all work in the data directory
                process.name() == "postgres" and Path(process.cwd()).is_relative_to(directory)
            )
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def end_leftovers(directory: Path) -> list[int]:
    """Kills the processes that an earlier run left in `directory`; their ids. Call it while holding the lock only."""
    ended: list[int] = []
    while left := processes_of(directory):
        for process in left:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
            except psutil.AccessDenied:
                raise ServerError(
                    f"Process {process.pid} of an earlier run still works in {directory} and belongs to another user:"
                    " end it as that user or as root."
                ) from None
            ended.append(process.pid)
        _, alive = psutil.wait_procs(left, timeout=_END_WITHIN)
        if alive:
            raise ServerError(f"Process {alive[0].pid} of an earlier run in {directory} does not die: end it by hand.")
    return ended
