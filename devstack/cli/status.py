"""`tandem status`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from devstack.cli.exit_codes import ExitCode
from devstack.cli.output import fail, print_json

if TYPE_CHECKING:
    from devstack.system_status import SystemStatus

_COLOURS = {"up": "green", "degraded": "yellow", "down": "red"}
_EXIT_CODES = {"up": ExitCode.OK, "degraded": ExitCode.DEGRADED, "down": ExitCode.DOWN}


def status(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Shows every process of the local stack and the lag; exit code 0 up, 1 degraded, 3 down."""
    from devstack.stack_record import read_record
    from devstack.system_status import observe

    record = read_record()
    if record is None:
        fail("Nothing runs here; start it with `make up`.", ExitCode.DOWN, as_json=as_json)
    seen = asyncio.run(observe(record.topology))
    if as_json:
        processes = [vars(process) for process in seen.processes]
        print_json({"state": seen.state, "lag": seen.lag, "processes": processes})
    else:
        _print_table(seen)
    raise typer.Exit(int(_EXIT_CODES[seen.state]))


def _print_table(seen: SystemStatus) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("process", "address", "state", "detail"):
        table.add_column(heading)
    for process in seen.processes:
        colour = _COLOURS[process.state]
        table.add_row(process.name, process.address, f"[{colour}]{process.state}[/]", process.detail)
    console = Console()
    console.print(table)
    console.print(seen.line(), highlight=False)
