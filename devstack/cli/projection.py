"""`tandem projection parked`: events that could not be projected, on the stack that runs here or as QUERY_… say."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from devstack.cli.exit_codes import ExitCode
from devstack.cli.output import fail, print_json

if TYPE_CHECKING:
    from query_service.config import QuerySettings

application = typer.Typer(no_args_is_help=True)
parked = typer.Typer(no_args_is_help=True)
application.add_typer(parked, name="parked")
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]
Key = Annotated[str, typer.Argument(help="ORDER, ORDER/VERSION, or for a message of nobody STREAM/SEQUENCE.")]


@application.callback()
def _projection() -> None:
    """The read side's way from the stream into the read store."""


@parked.callback()
def _parked() -> None:
    """Events that could not be projected: their orders say so to readers until a later version or a retry heals."""


@parked.command("list")
def list_parked(as_json: AsJson = False) -> None:
    """Lists them, the one that was parked first at the front."""
    _run("list", "", as_json=as_json)


@parked.command("show")
def show(key: Key, as_json: AsJson = False) -> None:
    """Shows why and since when; exit code 1 when nothing is parked under that key."""
    _run("show", key, as_json=as_json)


@parked.command("retry")
def retry(key: Key, as_json: AsJson = False) -> None:
    """Tries them again, after a mapping was mended or a release understands more; exit code 1 when one stays parked."""
    _run("retry", key, as_json=as_json)


@parked.command("discard")
def discard(
    key: Key,
    needed_too: Annotated[bool, typer.Option("--needed-too", help="Also what no later version has healed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Forgets them; the order's history keeps a hole."""
    _run("discard", key, needed_too=needed_too, as_json=as_json)


def _run(action: str, key: str, *, as_json: bool, needed_too: bool = False) -> None:
    from query_service.bootstrap import parked as run
    from service_runtime.log import configure_logging
    from service_runtime.process import StartupRefused

    configure_logging("tandem.projection", "ERROR")
    try:
        report = asyncio.run(run(_settings(as_json), action, key, needed_too=needed_too))
    except StartupRefused as refusal:
        fail(str(refusal), ExitCode.USAGE, as_json=as_json)
    if report.error:
        fail(report.error, ExitCode(report.exit_code), as_json=as_json)
    if as_json:
        print_json({"parked": list(report.entries)})
    else:
        _print(action, report.entries)
    raise typer.Exit(report.exit_code)


def _settings(as_json: bool) -> QuerySettings:
    """QUERY_… of the environment when it names a store, else those of the stack that commands are about."""
    from devstack.known_stack import NOTHING_RUNS, known_stack
    from query_service.config import QuerySettings
    from service_runtime.config import load_settings

    if "QUERY_ELASTICSEARCH_URL" not in os.environ:
        stack = known_stack()
        if stack is None:
            fail(NOTHING_RUNS, ExitCode.DOWN, as_json=as_json)
        os.environ.update({n: v for n, v in stack.settings().items() if n.startswith("QUERY_")})
    return load_settings(QuerySettings)


def _print(action: str, entries: Sequence[Mapping[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(soft_wrap=True)
    if action == "list":
        table = Table(box=None, pad_edge=False)
        for heading in ("key", "event", "parked", "reason", "now"):
            table.add_column(heading, no_wrap=True)
        for entry in entries:
            table.add_row(entry["key"], entry["event_type"], entry["parked_at"][:19], entry["reason"], _now(entry))
        console.print(table)
        console.print(f"{len(entries)} parked", highlight=False)
        return
    for entry in entries:
        done = {"retry": entry.get("outcome", "").lower().replace("_", " "), "discard": "discarded"}.get(action)
        console.print(f"{entry['key']}  {done or _now(entry)}", highlight=False)
        for name in ("event_type", "event_id", "stream", "sequence", "stored_at", "parked_at", "reason", "detail"):
            console.print(f"    {name:<11} {entry[name]}", highlight=False, markup=False)


def _now(entry: Mapping[str, Any]) -> str:
    if entry["order_id"] is None:
        return "of no order"
    if entry["healed"]:
        return f"healed by version {entry['order_version']}"
    return f"the order is at version {entry['order_version']}" if entry["order_version"] else "the order is not shown"
