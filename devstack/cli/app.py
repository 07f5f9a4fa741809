"""Collects the commands of `tandem`."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

import typer
import typer.main

from devstack.cli.audit import commands as audit
from devstack.cli.orders import commands as orders
from devstack.cli.orders import customers, exports, imports, sample
from devstack.cli.relay import commands as relay
from devstack.cli.stack import status, up
from devstack.cli.stream import drift, projection, rebuild, subsets, tails

application = typer.Typer(
    name="tandem",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Plain help wraps at any width and cuts nothing.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
application.command("up", help="Start everything, prove it, stay until Ctrl-C.")(up.up)
application.command("down", help="Stop what `tandem up` started.")(up.down)
application.command("status", help="Show every process, and how old reads are.")(status.status)
application.add_typer(orders.application, name="orders")
application.add_typer(customers.application, name="customers")
application.add_typer(imports.application, name="import")
application.add_typer(exports.application, name="export")
application.command("sample", help="Place realistic orders of a made-up shop.")(sample.sample)
application.add_typer(relay.application, name="relay")
application.add_typer(projection.application, name="projection")
application.add_typer(drift.application, name="drift")
rebuild.application.add_typer(subsets.application)
application.add_typer(rebuild.application, name="rebuild")
application.add_typer(audit.application, name="audit")
application.add_typer(tails.outbox, name="outbox")
application.add_typer(tails.events, name="events")


@cache
def command_line() -> Any:
    """Builds the command line's parser, once.

    Help shows arguments by their placeholder only, without the type `TEXT`.
    """
    whole = typer.main.get_command(application)
    waiting = [whole]
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        for parameter in command.params:
            if parameter.param_type_name == "argument":
                parameter.display_type_rich = lambda ctx: None  # type: ignore[attr-defined]
    return whole


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        from devstack.cli.terminal import say

        say(f"tandem {version('tandem')}")
        raise typer.Exit


@application.callback()
def tandem(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """The Tandem order system on this machine: run it, watch it, use it.

    Every command takes --json. Exit codes: 0 ok, 1 degraded or refused, 2 wrong usage, 3 down.
    """
    from devstack.stack.known_stack import check_named_addresses

    if context.invoked_subcommand not in ("up", "down"):  # which are about the stack of this checkout
        try:
            check_named_addresses()
        except ValueError as wrong:
            raise typer.BadParameter(str(wrong)) from None
