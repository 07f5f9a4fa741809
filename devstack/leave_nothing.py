"""Runs one command, and ends whatever it leaves behind: `python -m devstack.leave_nothing COMMAND...`.

Tests start servers and services by the dozen, stop some of them in the middle, and are interrupted at any moment. Every
process that stems from the command and loses its parent is handed to this one, which waits for it for a moment and then
kills it; so nothing is left when this process ends. A terminal's Ctrl-C reaches the command by itself. SIGTERM,
SIGHUP and SIGQUIT are passed on as a Ctrl-C. A second one of any kind, or a command that does not end in time, ends
everything at once; one that was ignored from the start, as under nohup, stays so. The exit status is the command's
(128 + n when signal n ended it).

On systems other than Linux orphans are not handed over: there the command is run and nothing more.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

#: Seconds that the interrupted command, and then the processes it leaves, may take to end by themselves.
COMMAND_SECONDS = 60.0
ORPHANS_SECONDS = 6.0
_PR_SET_CHILD_SUBREAPER = 36
_INTERRUPTS = {
    number
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    if signal.getsignal(number) is not signal.SIG_IGN
}


def main(command: list[str]) -> int:
    """Runs the command to its end, and then to the end of all that stems from it; the exit status."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {*_INTERRUPTS, signal.SIGCHLD})
    # A shell starts background commands with SIGINT ignored; the command must receive the Ctrl-C that we pass on.
    run = _Run(os.posix_spawnp(command[0], command, os.environ, setsigmask=mask, setsigdef={signal.SIGINT}))
    run.until_ended()
    run.until_alone()
    return 128 + signal.SIGKILL if run.status is None else run.status


class _Run:
    """The command; `status` is its exit status once it has ended."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._interrupts = 0
        self.status: int | None = None

    def until_ended(self) -> None:
        """Waits until the command ends, or until it takes too long after an interrupt."""
        ends: float | None = None
        while self.status is None and self._interrupts < 2 and (ends is None or time.monotonic() < ends):
            number = self._next_signal(ends)
            if number in _INTERRUPTS and ends is None:
                ends = time.monotonic() + COMMAND_SECONDS
                # A terminal sends a Ctrl-C to the command as well, so it may have ended already.
                if number != signal.SIGINT and self.status is None:
                    os.kill(self._pid, signal.SIGINT)

    def until_alone(self) -> None:
        """Waits until no descendant of the command is left, and kills those that do not end; prints their names."""
        ends = time.monotonic() + ORPHANS_SECONDS
        while _descendants() and self._interrupts < 2 and time.monotonic() < ends:
            self._next_signal(min(ends, time.monotonic() + 0.1))
        killed: dict[int, str] = {}
        while left := _descendants():
            killed |= left
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._next_signal(time.monotonic() + 0.1)
        if killed:
            named = ", ".join(f"{pid} ({name})" for pid, name in sorted(killed.items()))
            print(f"killed what did not end by itself: {named}", file=sys.stderr)

    def _next_signal(self, until: float | None) -> int | None:
        """Waits for the next signal and returns it; None at the time `until`. Reaps ended children meanwhile."""
        heard = {*_INTERRUPTS, signal.SIGCHLD}
        if until is None:
            number: int | None = signal.sigwaitinfo(heard).si_signo
        else:
            told = signal.sigtimedwait(heard, max(0.0, until - time.monotonic()))
            number = told.si_signo if told is not None else None
        self._interrupts += number in _INTERRUPTS
        self._collect()
        return number

    def _collect(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                if pid == self._pid:
                    code = os.waitstatus_to_exitcode(status)
                    self.status = code if code >= 0 else 128 - code


def _descendants() -> dict[int, str]:
    """Maps the id of each living descendant of this process to its name."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for entry in Path("/proc").iterdir() if sys.platform == "linux" else ():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                before, _, after = (entry / "stat").read_text().rpartition(")")
                state, parent = after.split()[:2]
                if state not in "ZX":
                    names[int(entry.name)] = before.partition("(")[2]
                parents[int(entry.name)] = int(parent)
    found: dict[int, str] = {}
    for pid, name in names.items():
        ancestor = pid
        while ancestor in parents and ancestor != os.getpid():
            ancestor = parents[ancestor]
        if ancestor == os.getpid() and pid != ancestor:
            found[pid] = name
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
