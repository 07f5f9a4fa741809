"""`tandem import …`: orders from elsewhere, with a bar that shows rate and time left."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devstack.cli.calls import AsJson, refused
from devstack.cli.exit_codes import ExitCode
from devstack.cli.output import fail, print_json

if TYPE_CHECKING:
    from tandem.orders.v1.order_command_service_pb2 import ImportOrdersRequest

    from devstack.importers.run import ImportResult

application = typer.Typer(no_args_is_help=True)


@application.callback()
def imports() -> None:
    """Takes over orders from another system."""


@application.command()
def northwind(
    directory: Annotated[Path, typer.Argument(help="Where the Northwind CSV files lie.")],
    as_json: AsJson = False,
) -> None:
    """Imports the Northwind company; a second run changes nothing."""
    from devstack.importers.northwind import SOURCE, BadSource, read_northwind

    try:
        requests = read_northwind(directory)
    except BadSource as error:
        fail(str(error), ExitCode.USAGE, as_json=as_json)
    started = time.monotonic()
    result = asyncio.run(_import(SOURCE, requests, as_json))
    seconds = time.monotonic() - started
    lines = sum(len(request.lines) for request in requests)
    if as_json:
        print_json(
            {
                "orders": len(requests), "lines": lines, "imported": result.imported, "replayed": result.replayed,
                "refused": {number: str(error) for number, error in result.refused.items()}, "seconds": seconds,
            }
        )  # fmt: skip
    else:
        print(
            f"{len(requests)} orders, {lines} lines: {result.imported} imported, {result.replayed} were there already, "
            f"{len(result.refused)} refused; all searchable after {seconds:.1f} s"
        )
        for number, refusal in result.refused.items():
            print(f"  {number}: {refusal}")
    raise typer.Exit(int(ExitCode.DEGRADED if result.refused else ExitCode.OK))


async def _import(source: str, requests: list[ImportOrdersRequest], as_json: bool) -> ImportResult:
    import grpc

    from devstack.cli.progress import progress_bar
    from devstack.cli.stubs import open_stubs
    from devstack.importers.run import import_orders, until_searchable

    async with open_stubs() as stubs:
        service = "command"
        try:
            with progress_bar(f"import {source}", len(requests), shown=not as_json) as advance:
                result = await import_orders(stubs.commands, requests, lambda state: advance(state.answered))
            if result.last_token:
                service = "query"
                await until_searchable(stubs.queries, source, requests[-1].order_number, result.last_token)
        except grpc.aio.AioRpcError as error:
            refused(error, service, stubs.address_of(service), as_json=as_json)
    return result
