"""Runs one server and ends it when the process that started the guard (the owner) ends, for whatever reason.

Started as a script of its own (standard library only, no site packages) by `child.py`:

    guard.py UID GID LOG DEATH_SIGNAL GRACE_SECONDS COMMAND...

UID and GID are numbers, or `-` to keep the current user. The first line on standard output is the server's process id.
The guard exits with the server's exit status (128 + n when signal n ended it).

Standard input is a pipe from the owner. When the owner closes it or dies, even by `kill -9`, the server gets
DEATH_SIGNAL. After GRACE_SECONDS the guard kills everything that the server started. A fork of the owner may keep the
pipe open, so the guard also checks its parent's process id every second. Orphaned descendants (Postgres backends, the
second JVM of Elasticsearch) become children of the guard, so it finds them too. If the guard itself is killed, the
kernel kills the server. The owner cannot rely on the kernel in the same way: its death signal follows the thread that
forked, not the process.
"""

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
EXEC_FAILED = 127
PARENT_CHECKED_EVERY = 1.0


def _prctl(option: int, value: int) -> None:
    """Calls prctl. Does nothing on systems other than Linux, where the next start ends leftovers instead."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _become(uid: str, gid: str) -> None:
    """Switches to the account for good. Groups come first, because changing them needs root."""
    if uid != "-":
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))


def _run_server(guard_pid: int, uid: str, gid: str, log: int, command: list[str]) -> NoReturn:
    """Becomes the server, in the forked child: switches the account, dies with the guard, and executes the command."""
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.closerange(3, 256)
        _become(uid, gid)
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # after the change of user, which clears it
        if os.getppid() != guard_pid:
            os._exit(EXEC_FAILED)
        os.execv(command[0], command)  # noqa: S606 - starting a program without a shell is the point
    except OSError as error:
        os.write(2, f"cannot run {command[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(EXEC_FAILED)


def _children() -> list[int]:
    """Lists our direct children, including orphans that the kernel made our children."""
    me = os.getpid()
    found = []
    for entry in Path("/proc").iterdir() if sys.platform == "linux" else ():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                after_name = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(after_name[1]) == me:
                    found.append(int(entry.name))
    return found


def _kill_everything(server: int) -> None:
    """Kills until no descendant is left. The children of a killed process become ours."""
    while True:
        for pid in {server, *_children()}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _reap(server: int) -> int | None:
    """Reaps ended children; returns the server's exit status if it is among them."""
    status = None
    while True:
        try:
            pid, code = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if pid == 0:
            return status
        if pid == server:
            ended = os.waitstatus_to_exitcode(code)
            status = ended if ended >= 0 else 128 - ended


def _watch(server: int, wake: int, parent: int, death_signal: int, grace: float) -> int:
    """Waits until the server ends, and ends it when the owner does; returns the server's exit status."""
    stop_by: float | None = None
    while True:
        status = _reap(server)
        if status is not None:
            return status
        watched = [wake] if stop_by is not None else [wake, 0]
        timeout = PARENT_CHECKED_EVERY if stop_by is None else max(0.0, stop_by - time.monotonic())
        ready, _, _ = select.select(watched, [], [], timeout)
        if wake in ready:
            os.read(wake, 512)
        if stop_by is None and _must_end(ready, parent):
            stop_by = time.monotonic() + grace
            os.kill(server, death_signal)
        elif stop_by is not None and not ready:
            return 128 + signal.SIGKILL


def _must_end(ready: list[int], parent: int) -> bool:
    """Whether the owner closed the pipe or died."""
    return (0 in ready and not os.read(0, 512)) or os.getppid() != parent


def main(arguments: list[str]) -> int:
    """Runs the server to its end and returns its exit status; see the module's docstring for the arguments."""
    uid, gid, log_path, death_signal, grace, *command = arguments
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # only the owner's pipe ends the guard, not a terminal
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    guard_pid, parent = os.getpid(), os.getppid()
    server = os.fork()
    if server == 0:
        _run_server(guard_pid, uid, gid, log, command)
    os.write(1, f"{server}\n".encode())
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    os.dup2(log, 2)
    status = _watch(server, wake, parent, int(death_signal), float(grace))
    _kill_everything(server)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
