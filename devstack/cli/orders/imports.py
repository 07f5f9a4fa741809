"""Holds `tandem import …`: imports orders, with a bar that shows rate and time left."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devstack.cli.exit_codes import ExitCode
from devstack.cli.orders.calls import AsJson, cancel_by_signals, refused
from devstack.cli.output import fail
from devstack.cli.terminal import say, say_json

if TYPE_CHECKING:
    from tandem.orders.v1.order_command_service_pb2 import ImportOrdersRequest

    from devstack.importers.run import ImportResult

application = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@application.callback()
def imports() -> None:
    """Imports orders from another system."""


@application.command()
def northwind(
    directory: Annotated[Path, typer.Argument(metavar="DIRECTORY", help="Where the Northwind CSV files lie.")],
    as_json: AsJson = False,
) -> None:
    """Imports the Northwind company; a second run changes nothing."""
    from devstack.importers.northwind import SOURCE, BadSource, read_northwind
    from devstack.importers.run import ImportResult

    try:
        requests = read_northwind(directory)
    except BadSource as error:
        fail(str(error), ExitCode.USAGE, as_json=as_json)
    begun, progress = time.monotonic(), ImportResult()
    try:
        result = asyncio.run(_import(SOURCE, requests, progress, as_json))
    except (KeyboardInterrupt, asyncio.CancelledError):
        message = f"interrupted; {_answered(progress, len(requests))}"
        fail(message, ExitCode.INTERRUPTED, as_json=as_json, imported=progress.imported, replayed=progress.replayed)
    seconds = time.monotonic() - begun
    lines = sum(len(request.lines) for request in requests)
    if as_json:
        say_json(
            {
                "orders": len(requests), "lines": lines, "imported": result.imported, "replayed": result.replayed,
                "refused": {number: str(error) for number, error in result.refused.items()}, "seconds": seconds,
            }
        )  # fmt: skip
    else:
        say(
            f"{len(requests)} orders, {lines} lines: {result.imported} imported, {result.replayed} were there already, "
            f"{len(result.refused)} refused; all searchable after {seconds:.1f} s"
        )
        for number, refusal in result.refused.items():
            say(f"  {number}: {refusal}")
    raise typer.Exit(int(ExitCode.DEGRADED if result.refused else ExitCode.OK))


def _answered(progress: ImportResult, orders: int) -> str:
    return (
        f"{progress.imported} of {orders} orders imported, {progress.replayed} were there already; "
        "run it again to continue"
    )


async def _import(
    source: str, requests: list[ImportOrdersRequest], progress: ImportResult, as_json: bool
) -> ImportResult:
    """Imports everything and waits until it can be found; `progress` shows how far it came."""
    import grpc
    from tandem.orders.errors import OrderError

    from devstack.cli.patience import NoSignOfLife, answer_while_alive, sign_of, sign_of_reading
    from devstack.cli.progress import progress_bar
    from devstack.cli.stubs import open_stubs
    from devstack.importers.run import import_orders, until_searchable

    cancel_by_signals()
    heard = time.monotonic()
    async with open_stubs() as stubs:
        service = "command"
        try:
            with progress_bar(f"import {source}", len(requests), shown=not as_json) as advance:

                def hear(state: ImportResult) -> None:
                    nonlocal heard
                    heard = time.monotonic()
                    progress.imported, progress.replayed = state.imported, state.replayed
                    advance(state.answered)

                importing = import_orders(stubs.commands, requests, hear)
                result = await answer_while_alive(importing, sign_of(stubs, "command"), lambda: heard)
            if result.last_token:
                service = "query"
                searching = until_searchable(stubs.queries, source, requests[-1].order_number, result.last_token)
                await answer_while_alive(searching, sign_of_reading(stubs))
        except (NoSignOfLife, TimeoutError) as silence:
            message = f"{str(silence).rstrip('.') or 'They cannot be found yet'}. {_answered(progress, len(requests))}."
            fail(message, ExitCode.DOWN, as_json=as_json, reason="DEPENDENCY_UNAVAILABLE")
        except OrderError as error:
            fail(f"{error}. {_answered(progress, len(requests))}.", ExitCode.DOWN, as_json=as_json)
        except grpc.aio.AioRpcError as error:
            refused(error, service, stubs.address_of(service), as_json=as_json)
    return result
