"""Holds `tandem rebuild order | customer | range`: projects some orders again in place."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from devstack.cli.exit_codes import ExitCode
from devstack.cli.output import fail
from devstack.cli.stream.projection import query_settings
from devstack.cli.terminal import say, say_json

application = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]


@application.command("order")
def order(
    order_ids: Annotated[list[str], typer.Argument(metavar="ORDER", help="Ids of orders.")], as_json: AsJson = False
) -> None:
    """Projects orders again from the write side's journal, in place.

    Orders that the write side lacks are removed. Exit code 1 when one could not be done.
    """
    _run("order", order_ids, None, None, as_json=as_json)


@application.command("customer")
def customer(
    customer_id: Annotated[str, typer.Argument(metavar="CUSTOMER", help="Id of a customer.")], as_json: AsJson = False
) -> None:
    """Projects all orders of a customer again, in place."""
    _run("customer", [customer_id], None, None, as_json=as_json)


@application.command("range")
def time_range(
    since: Annotated[
        str | None, typer.Option("--from", metavar="TIME", show_default=False, help="Changed at this time or later.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", show_default=False, help="Changed before this time.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Projects again the orders that changed in a time range.

    What counts is when their latest change was recorded, by the database's clock, for example 2026-01-31T12:00:00Z.
    """
    _run("range", [], since, until, as_json=as_json)


def _run(what: str, ids: Sequence[str], since: str | None, until: str | None, *, as_json: bool) -> NoReturn:
    from query_service.checking import reproject, selection
    from query_service.projection.errors import ProjectionError
    from query_service.projection.proto_json import microseconds
    from service_runtime.log import configure_logging
    from service_runtime.process import StartupRefused

    if what == "range" and since is None and until is None:
        fail("Give --from, --until or both.", ExitCode.USAGE, as_json=as_json)
    configure_logging("tandem.rebuild", "ERROR")
    try:
        begin, end = (None if time is None else microseconds(time, "the time") for time in (since, until))
    except ProjectionError as error:
        fail(f"{error.detail}; write 2026-01-31T12:00:00Z", ExitCode.USAGE, as_json=as_json)
    try:
        report = asyncio.run(reproject(query_settings(as_json), selection(what, ids, begin, end)))
    except StartupRefused as refusal:
        fail("; ".join(str(refusal).splitlines()), ExitCode.USAGE, as_json=as_json)
    if report.error:
        fail(report.error, ExitCode(report.exit_code), as_json=as_json)
    if as_json:
        say_json(dict(report.document))
    else:
        results = ", ".join(f"{number} {result.lower()}" for result, number in report.document["results"].items())
        say(f"{report.document['orders']} orders: {results or 'none is selected'}")
        for one in report.document["not_reprojected"]:
            say(f"{one['order_id']}  {one['result'].lower()}  {one['detail']}".rstrip())
    raise typer.Exit(report.exit_code)
