"""Holds `tandem up` and `tandem down`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from devstack.cli.exit_codes import ExitCode
from devstack.cli.output import fail
from devstack.cli.terminal import replace_line, say, say_json, say_json_line, say_whole

if TYPE_CHECKING:
    from devstack.servers import Progress
    from devstack.stack.local_stack import LocalStack

STATUS_EVERY_SECONDS = 2.0
STOP_WITHIN_SECONDS = 60.0


def up(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document per line.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Stop again after the proof.")] = False,
) -> None:
    """Starts the local stack in this terminal."""
    from devstack.stack.record import read_record

    if (record := read_record()) is not None:
        fail(
            f"The stack already runs here (process {record.pid}); stop it with `tandem down`.",
            ExitCode.USAGE,
            as_json=as_json,
        )
    raise typer.Exit(asyncio.run(_Up(as_json, once).run()))


class _Up:
    """Runs the stack from start to stop, and prints its progress."""

    def __init__(self, as_json: bool, once: bool) -> None:
        self._as_json, self._once = as_json, once
        self._stop = asyncio.Event()
        self._terminal = sys.stdout.isatty() and not as_json

    async def run(self) -> int:
        """Runs the stack until it is stopped; returns the exit code."""
        from devstack.servers import AlreadyRunning, ServerError
        from devstack.stack.local_stack import LocalStack
        from devstack.stack.record import StackRecord, remove_own_record, state_directory
        from devstack.stack.self_check import SelfCheckFailed, self_check

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        try:
            stack = LocalStack(state_directory(), listener=self._progress, on_restart=self._restarted)
            starting = asyncio.create_task(stack.start())
        except ServerError as error:
            self._say("failed", str(error))
            return ExitCode.DOWN
        try:
            if not await self._unless_stopped(starting):
                return ExitCode.OK
            StackRecord.of_this_process(stack.topology).write()
            proving = asyncio.create_task(self_check(stack.topology))
            begun = time.monotonic()
            if not await self._unless_stopped(proving):
                return ExitCode.OK
            self._times(stack, time.monotonic() - begun)
            self._say("proof", proving.result().line(), **vars(proving.result()))
            self._addresses(stack)
            if not self._once:
                await self._stay(stack)
        except AlreadyRunning as error:
            self._say("failed", f"{error} Stop it with `tandem down`.")
            return ExitCode.USAGE
        except (ServerError, SelfCheckFailed) as error:
            self._say("failed", str(error))
            return ExitCode.DOWN
        finally:
            self._say("stopping", "stopping everything")
            await asyncio.shield(stack.stop())
            remove_own_record()
            self._say("stopped", f"stopped; data stays in {state_directory().name}, `make clean` drops it")
        return ExitCode.OK

    async def _unless_stopped(self, task: asyncio.Task[object]) -> bool:
        """Waits for `task` and raises its exception. If a signal arrives first, cancels the task and returns False."""
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if task.done():
            task.result()
            return not self._stop.is_set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return False

    async def _stay(self, stack: LocalStack) -> None:
        from devstack.stack.system_status import observe

        while not self._stop.is_set():
            if self._terminal:
                replace_line((await observe(stack.topology)).line())
            try:
                await asyncio.wait_for(self._stop.wait(), STATUS_EVERY_SECONDS)
            except TimeoutError:
                continue

    def _progress(self, progress: Progress) -> None:
        if progress.state == "done":
            self._say("progress", f"{progress.server}: {progress.phase} {progress.seconds:.1f} s")

    def _restarted(self, name: str, status: int) -> None:
        self._say("restart", f"{name} ended with status {status}; starting it again", service=name, status=status)

    def _times(self, stack: LocalStack, proof_seconds: float) -> None:
        environment = float(os.environ.get("TANDEM_INSTALL_MS", "0")) / 1000
        download, start = stack.durations["download"], stack.durations["start"]
        install = environment + stack.durations["install"]
        self._say(
            "times",
            f"download {download:.1f} s, install {install:.1f} s, start {start:.1f} s, proof {proof_seconds:.1f} s",
            download_seconds=download,
            install_seconds=install,
            start_seconds=start,
            proof_seconds=proof_seconds,
        )

    def _addresses(self, stack: LocalStack) -> None:
        topology = stack.topology
        self._say(
            "ready",
            f"commands {topology.command}, queries {topology.query}; Ctrl-C stops everything",
            **topology.as_dict(),
        )

    def _say(self, event: str, text: str, **details: object) -> None:
        now = datetime.now(UTC)
        if self._as_json:
            say_json_line({"time": f"{now:%Y-%m-%dT%H:%M:%SZ}", "event": event, "text": text, **details})
            return
        for line in text.split("\n"):
            told = f"{now:%H:%M:%S}  {line}"
            if self._terminal:  # the live line has no end of its own
                replace_line(told, ended=True)
            else:
                say_whole(told)


def down(as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False) -> None:
    """Asks the running stack to stop and waits until it has. No running stack is no failure."""
    from devstack.stack.record import read_record

    record = read_record()
    if record is None:
        _say_stopped(None, "nothing runs here", as_json)
        return
    with suppress(ProcessLookupError):  # it has ended meanwhile
        os.kill(record.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_WITHIN_SECONDS
    while record.alive:
        if time.monotonic() > deadline:
            fail(f"Process {record.pid} has not stopped yet.", ExitCode.DEGRADED, as_json=as_json)
        time.sleep(0.1)
    _say_stopped(record.pid, "stopped", as_json)


def _say_stopped(pid: int | None, text: str, as_json: bool) -> None:
    if as_json:
        say_json({"stopped": pid})
    else:
        say(text)
