"""Holds `tandem projection parked`: events that could not be projected, on this stack or that of QUERY_… settings."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from devstack.cli.exit_codes import ExitCode
from devstack.cli.output import fail
from devstack.cli.terminal import say, say_json
from devstack.cli.terminal import show as draw
from devstack.cli.waiting_time import patience_seconds

if TYPE_CHECKING:
    from query_service.config import QuerySettings
    from query_service.parked_commands import ParkedReport

application = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
parked = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
application.add_typer(parked, name="parked")
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]
Key = Annotated[
    str, typer.Argument(metavar="KEY", help="ORDER, ORDER/VERSION, or for a message of nobody STREAM/SEQUENCE.")
]


@application.callback()
def _projection() -> None:
    """The way from the stream into the read store."""


@parked.callback()
def _parked() -> None:
    """Events that could not be projected.

    Their orders report it to readers until a later version or a retry heals them.
    """


@parked.command("list")
def list_parked(as_json: AsJson = False) -> None:
    """Lists parked events, the one that was parked first at the front."""
    _run("list", "", as_json=as_json)


@parked.command("show")
def show(key: Key, as_json: AsJson = False) -> None:
    """Shows why and since when.

    Exit code 1 when nothing is parked under that key.
    """
    _run("show", key, as_json=as_json)


@parked.command("retry")
def retry(key: Key, as_json: AsJson = False) -> None:
    """Retries parked events, after their cause was fixed.

    That is a mapping, or a release that understands more. Exit code 1 when one stays parked.
    """
    _run("retry", key, as_json=as_json)


@parked.command("discard")
def discard(
    key: Key,
    needed_too: Annotated[bool, typer.Option("--needed-too", help="Also those that no later version healed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Discards parked events; the order's history keeps a gap."""
    _run("discard", key, needed_too=needed_too, as_json=as_json)


def _run(action: str, key: str, *, as_json: bool, needed_too: bool = False) -> None:
    from devstack.cli.stream.connection import NATS_ERRORS, ask_for_life
    from query_service.bootstrap import parked as run
    from service_runtime.log import configure_logging
    from service_runtime.process import StartupRefused

    configure_logging("tandem.projection", "ERROR")
    settings = query_settings(as_json)

    async def done() -> ParkedReport:
        async with asyncio.timeout(patience_seconds()):
            listed = await run(settings, "list")
            if listed.error:
                return listed
            if action != "list":  # These may take long, so first make sure that NATS answers.
                await ask_for_life(settings.nats_url.get_secret_value())
        return listed if action == "list" else await run(settings, action, key, needed_too=needed_too)

    try:
        report = asyncio.run(done())
    except StartupRefused as refusal:
        fail("; ".join(str(refusal).splitlines()), ExitCode.USAGE, as_json=as_json)
    except NATS_ERRORS:
        message = "Elasticsearch or NATS does not answer: `tandem status` shows which."
        fail(message, ExitCode.DOWN, as_json=as_json)
    if report.error:
        fail(report.error, ExitCode(report.exit_code), as_json=as_json)
    if as_json:
        say_json({"parked": list(report.entries)})
    else:
        _print(action, report.entries)
    raise typer.Exit(report.exit_code)


def query_settings(as_json: bool) -> QuerySettings:
    """Returns the settings of QUERY_… variables if they name a store, otherwise those of the known stack."""
    from devstack.stack.known_stack import NOTHING_RUNS, known_stack
    from query_service.config import QuerySettings
    from service_runtime.config import load_settings
    from service_runtime.process import StartupRefused

    if "QUERY_ELASTICSEARCH_URL" not in os.environ:
        stack = known_stack()
        if stack is None:
            fail(NOTHING_RUNS, ExitCode.DOWN, as_json=as_json)
        os.environ.update({n: v for n, v in stack.settings().items() if n.startswith("QUERY_")})
    try:
        return load_settings(QuerySettings)
    except StartupRefused as refusal:
        fail("; ".join(str(refusal).splitlines()), ExitCode.USAGE, as_json=as_json)


def _print(action: str, entries: Sequence[Mapping[str, Any]]) -> None:
    from devstack.cli.tables import Column, Facts, Rows
    from devstack.cli.terminal import plain

    if action == "list":
        columns = (
            Column("key", named=False), Column("event", named=False), Column("parked"), Column("reason", folds=True),
            Column("now", folds=True),
        )  # fmt: skip
        rows = [
            (entry["key"], entry["event_type"], entry["parked_at"][:19], entry["reason"], _now(entry))
            for entry in entries
        ]
        if rows:
            draw(Rows(columns, rows))
        say(f"{len(entries)} parked")
        return
    for entry in entries:
        done = {"retry": entry.get("outcome", "").lower().replace("_", " "), "discard": "discarded"}.get(action)
        told = ("event_type", "event_id", "stream", "sequence", "stored_at", "parked_at", "reason", "detail")
        draw(plain(f"{entry['key']}  {done or _now(entry)}"), Facts((name, str(entry[name])) for name in told))


def _now(entry: Mapping[str, Any]) -> str:
    if entry["order_id"] is None:
        return "of no order"
    if entry["healed"]:
        return f"healed by version {entry['order_version']}"
    return f"the order is at version {entry['order_version']}" if entry["order_version"] else "the order is not shown"
