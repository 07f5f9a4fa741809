"""Holds `tandem rebuild`: a new generation of the read model, on this stack or that of QUERY_… settings."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from devstack.cli.exit_codes import ExitCode
from devstack.cli.output import fail
from devstack.cli.progress import progress_bar
from devstack.cli.terminal import complain, say, say_json
from devstack.cli.terminal import show as draw

if TYPE_CHECKING:
    from query_service.application.rebuilding.rebuilds import RebuildStatus
    from query_service.config import QuerySettings
    from query_service.rebuild_commands import RebuildReport

application = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]
Workers = Annotated[
    int, typer.Option("--workers", metavar="NUMBER", min=1, max=64, help="Workers that read exports at the same time.")
]
#: How long a filling in the background may take until it has begun.
BEGIN_SECONDS = 60.0


@application.callback()
def _rebuild() -> None:
    """Rebuilds the read model without downtime.

    A new generation is filled from the write side while the old one answers readers. Then: verify, switch, finish.
    """


@application.command("start")
def start(
    workers: Workers = 4,
    join: Annotated[bool, typer.Option("--join", help="Help with a rebuild that others fill.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Fill in this process, and show the progress.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fills a new generation, in the background or with --wait.

    A filling that was interrupted goes on where it was. Exit code 1 when a rebuild is not over yet.
    """
    if wait:
        _run("start", as_json=as_json, workers=workers, join=join)
        return
    _begin(["--workers", str(workers), *(["--join"] if join else [])], as_json=as_json)


@application.command("status")
def status(as_json: AsJson = False) -> None:
    """Shows how far the last rebuild is."""
    _run("status", as_json=as_json)


@application.command("verify")
def verify(as_json: AsJson = False) -> None:
    """Compares the new generation with the write side.

    Exit code 1 when they differ.
    """
    _run("verify", as_json=as_json)


@application.command("switch")
def switch(as_json: AsJson = False) -> None:
    """Lets the new generation answer readers, after it was verified."""
    _run("switch", as_json=as_json)


@application.command("rollback")
def rollback(as_json: AsJson = False) -> None:
    """Lets the old generation answer readers again."""
    _run("rollback", as_json=as_json)


@application.command("finish")
def finish(as_json: AsJson = False) -> None:
    """Ends the rebuild, and deletes the old generation."""
    _run("finish", as_json=as_json)


@application.command("cancel")
def cancel(as_json: AsJson = False) -> None:
    """Gives the rebuild up, and deletes the new generation."""
    _run("cancel", as_json=as_json)


def _run(action: str, *, as_json: bool, workers: int = 1, join: bool = False) -> NoReturn:
    from service_runtime.process import StartupRefused

    settings = _settings(as_json)
    try:
        report = _with_progress(settings, action, workers, join, shown=action == "start" and not as_json)
    except StartupRefused as refusal:
        fail("; ".join(str(refusal).splitlines()), ExitCode.USAGE, as_json=as_json)
    if report.error and report.rebuild is None:
        fail(report.error, ExitCode(report.exit_code), as_json=as_json)
    if as_json:
        say_json({"rebuild": report.rebuild} | ({"error": report.error} if report.error else {}))
    else:
        _print(report.rebuild)
    raise typer.Exit(report.exit_code)


def _with_progress(settings: QuerySettings, action: str, workers: int, join: bool, *, shown: bool) -> RebuildReport:
    from query_service.rebuild_commands import run_rebuild
    from query_service.wire.rebuild_fields import waiting_line

    with contextlib.ExitStack() as shows:
        bar: list[Callable[[int], None]] = []

        def advance(status: RebuildStatus) -> None:
            if not bar:  # the number of orders is known with the first report
                bar.append(shows.enter_context(progress_bar("orders", status.rebuild.orders, shown=shown)))
            bar[0](status.rebuild.filled_orders)

        def waits(of: Sequence[str]) -> None:
            if shown:
                complain(waiting_line(of))

        return asyncio.run(
            run_rebuild(settings, action, workers=workers, join=join, on_progress=advance, on_waiting=waits)
        )


def _begin(arguments: list[str], *, as_json: bool) -> NoReturn:
    """Starts the filling in a process of its own, and returns when it has begun."""
    _settings(as_json)  # puts the stack's settings into the environment
    log = Path(tempfile.mkdtemp(prefix="tandem-rebuild-")) / "rebuild.log"
    command = [sys.executable, "-m", "query_service", "rebuild", "start", *arguments]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    deadline = time.monotonic() + BEGIN_SECONDS
    while process.poll() is None and time.monotonic() < deadline and "orders/s" not in log.read_text():
        time.sleep(0.2)
    if process.poll() not in (None, 0):
        fail(_error_in(log.read_text()), _exit_code_of(process.returncode), as_json=as_json)
    complain(f"filling in the background (process {process.pid}); its log is {log}")
    _run("status", as_json=as_json)


def _exit_code_of(status: int) -> ExitCode:
    """Returns the exit code for the status of a filling that failed. It is negative after a signal."""
    return ExitCode(status) if status in set(ExitCode) else ExitCode.DOWN


def _error_in(log: str) -> str:
    """Returns the error in the output of a filling that failed."""
    try:
        return str(json.loads(log[log.index("{\n") :])["error"])
    except (ValueError, KeyError):
        return log.strip().splitlines()[-1] if log.strip() else "the filling ended without a word"


def _settings(as_json: bool) -> QuerySettings:
    from devstack.cli.stream.projection import query_settings
    from service_runtime.log import configure_logging

    configure_logging("tandem.rebuild", "ERROR")
    return query_settings(as_json)


def _print(rebuild: Mapping[str, Any] | None) -> None:
    from devstack.cli.tables import Facts

    if rebuild is None:
        say("The read model was never rebuilt.")
        return
    done = f"{rebuild['filled_orders']:,} of {rebuild['orders']:,}, {rebuild['orders_per_second']:,.0f}/s"
    left = "" if rebuild["seconds_left"] is None else f", {rebuild['seconds_left']:,.0f} s left"
    facts = [
        ("phase", rebuild["phase"]),
        ("generations", f"{rebuild['old']} into {rebuild['new']}; {rebuild['serving']} answers readers"),
        ("orders", f"{done}{left}"),
    ]
    if rebuild["workers"]:
        facts.append(("filled by", ", ".join(rebuild["workers"])))
    if rebuild["parked_events"]:
        facts.append(("parked", f"{rebuild['parked_events']:,} events that this generation cannot store"))
    if "compared_orders" in rebuild:
        facts.append(("compared", f"{rebuild['compared_orders']:,} orders, {len(rebuild['differences'])} differ"))
        facts += [("differs", difference) for difference in rebuild["differences"]]
    if rebuild["problem"]:
        facts.append(("problem", rebuild["problem"]))
    draw(Facts(facts))
