"""`tandem status`."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from devstack.cli.exit_codes import ExitCode
from devstack.cli.numbers import number
from devstack.cli.output import fail
from devstack.cli.terminal import say_json, show

if TYPE_CHECKING:
    from devstack.stack.system_status import SystemStatus
    from devstack.stack.topology import Topology


def status(
    watch: Annotated[bool, typer.Option("--watch", help="Repeat until Ctrl-C.")] = False,
    every: Annotated[
        float, typer.Option(parser=number(0.2, 86_400), metavar="SECONDS", help="Time between two updates.")
    ] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document; with --watch one a line.")] = False,
) -> None:
    """Shows every process, how old reads are, the lag by stage, a rebuild, and the last check for drift.

    Exit code 0 all up, 1 something is not ready, 3 something does not answer; with --watch as it was at the end.
    """
    from devstack.cli.stack.status_screen import picture
    from devstack.stack.known_stack import NOTHING_RUNS, known_stack
    from devstack.stack.system_status import observe

    stack = known_stack()
    if stack is None:
        fail(NOTHING_RUNS, ExitCode.DOWN, as_json=as_json)
    if watch:
        seen = asyncio.run(_watch(stack, every, as_json, picture))
        raise typer.Exit(int(exit_code(seen)))
    seen = asyncio.run(observe(stack))
    if as_json:
        say_json(document(seen))
    else:
        show(picture(seen))
    raise typer.Exit(int(exit_code(seen)))


def exit_code(seen: SystemStatus) -> ExitCode:
    """Returns the exit code: 3 if any process does not answer, 1 if any is degraded, else 0."""
    states = {process.state for process in seen.processes}
    if "down" in states:
        return ExitCode.DOWN
    return ExitCode.OK if states == {"up"} else ExitCode.DEGRADED


async def _watch(stack: Topology, every: float, as_json: bool, picture: Any) -> SystemStatus:
    """Observes the stack until a signal arrives; returns the last observation."""
    from devstack.cli.stack.watching import watch_as_lines, watch_on_screen
    from devstack.stack.system_status import observe

    look = partial(observe, stack)
    if as_json:
        return await watch_as_lines(look, document, every)
    return await watch_on_screen(look, picture, every, whole=False)


def document(seen: SystemStatus) -> dict[str, Any]:
    """Returns the status as a JSON document. The relay's report of its lag appears once, under `lag`."""
    processes = [
        {"name": one.name, "address": one.address, "state": one.state, "detail": one.detail} for one in seen.processes
    ]
    return {
        "state": seen.state,
        "lag": seen.lag,
        "read_model": None if seen.read_model is None else asdict(seen.read_model),
        "processes": processes,
    }
