"""The commands of `tandem`, and what they are called."""

from __future__ import annotations

import typer

from devstack.cli import imports, orders, projection, relay, sample, status, tails, up

application = typer.Typer(
    name="tandem",
    help="The Tandem order system on this machine: run it, watch it, use it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
application.command("up", help="Start everything, prove it with one order, stay until Ctrl-C.")(up.up)
application.command("down", help="Stop what `tandem up` started.")(up.down)
application.command("status", help="Every process and how far behind the read side is.")(status.status)
application.add_typer(orders.application, name="orders", help="Place, change and find orders.")
application.add_typer(imports.application, name="import")
application.command("sample", help="Place realistic orders of a made-up shop.")(sample.sample)
application.add_typer(relay.application, name="relay")
application.add_typer(projection.application, name="projection")
application.add_typer(tails.outbox, name="outbox")
application.add_typer(tails.events, name="events")


def run() -> None:
    """Parses the command line and runs the command; wrong usage ends with exit code 2."""
    application()
