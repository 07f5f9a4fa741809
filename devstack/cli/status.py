"""`tandem status`."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from devstack.cli.exit_codes import ExitCode
from devstack.cli.output import fail, print_json

if TYPE_CHECKING:
    from rich.console import RenderableType

    from devstack.system_status import SystemStatus
    from devstack.topology import Topology

_COLOURS = {"up": "green", "degraded": "yellow", "down": "red"}
_EXIT_CODES = {"up": ExitCode.OK, "degraded": ExitCode.DEGRADED, "down": ExitCode.DOWN}


def status(
    watch: Annotated[bool, typer.Option("--watch", help="Again and again, until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document; with --watch one per line.")] = False,
) -> None:
    """Shows every process of the local stack, how old reads are, and the lag by stage.

    Exit code 0 up, 1 degraded, 3 down; with --watch as it was at the end.
    """
    from devstack.known_stack import NOTHING_RUNS, known_stack
    from devstack.system_status import observe

    stack = known_stack()
    if stack is None:
        fail(NOTHING_RUNS, ExitCode.DOWN, as_json=as_json)
    if watch:
        seen = asyncio.run(_watch(stack, every, as_json))
        raise typer.Exit(int(_EXIT_CODES[seen.state]))
    seen = asyncio.run(observe(stack))
    if as_json:
        print_json(_document(seen))
    else:
        from rich.console import Console

        Console().print(_picture(seen))
    raise typer.Exit(int(_EXIT_CODES[seen.state]))


async def _watch(topology: Topology, every: float, as_json: bool) -> SystemStatus:
    """Looks until a signal comes; what was seen last."""
    from devstack.cli.watching import watch_as_lines, watch_on_screen
    from devstack.system_status import observe

    look = partial(observe, topology)
    if as_json:
        return await watch_as_lines(look, _document, every)
    return await watch_on_screen(look, _picture, every, whole=False)


def _document(seen: SystemStatus) -> dict[str, Any]:
    return {
        "state": seen.state,
        "lag": seen.lag,
        "read_model": None if seen.read_model is None else asdict(seen.read_model),
        "processes": [vars(process) for process in seen.processes],
    }


def _picture(seen: SystemStatus) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    processes = Table(box=None, pad_edge=False)
    for heading in ("process", "address", "state", "detail"):
        processes.add_column(heading)
    for process in seen.processes:
        colour = _COLOURS[process.state]
        processes.add_row(process.name, process.address, f"[{colour}]{process.state}[/]", process.detail)
    parts: list[RenderableType] = [processes]
    if seen.read_model is not None:
        parts += _read_model(seen)
    return Group(*parts, Text(seen.line()))


def _read_model(seen: SystemStatus) -> list[RenderableType]:
    from rich.table import Table
    from rich.text import Text

    model = seen.read_model
    assert model is not None
    age = "unknown" if model.staleness_seconds is None else f"{model.staleness_seconds:.1f} s old"
    pending = "an unknown number of" if model.pending_events is None else str(model.pending_events)
    told = Text(f"\nreads are {age}, {pending} events to apply, {model.parked_orders} orders parked")
    if not model.stages:
        return [told]
    stages = Table(box=None, pad_edge=False)
    for heading in ("stage", "p50", "p99", "last"):
        stages.add_column(heading, justify="left" if heading in ("stage", "last") else "right")
    for lag in model.stages:
        stages.add_row(lag.stage, _milliseconds(lag.p50_seconds), _milliseconds(lag.p99_seconds), lag.as_of[11:19])
    return [told, stages]


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.1f} ms" if seconds < 10 else f"{seconds:,.1f} s"
