"""Holds `tandem relay parked`: aggregates whose events could not be published."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from devstack.cli.exit_codes import ExitCode
from devstack.cli.numbers import number, whole
from devstack.cli.output import fail
from devstack.cli.relay.settings import OfEnvironment, relay_settings
from devstack.cli.terminal import say, say_json, show
from devstack.cli.waiting_time import sign_seconds

if TYPE_CHECKING:
    from relay.parking.command import ParkedQuestion, ParkedReport

application = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
AggregateId = Annotated[str, typer.Argument(metavar="AGGREGATE", help="Id, as `list` shows it.")]
AggregateType = Annotated[
    str | None,
    typer.Option("--type", metavar="TYPE", show_default=False, help="Where aggregates of several types have that id."),
]
Wait = Annotated[
    float, typer.Option(parser=number(0, 86_400), metavar="SECONDS", help="How long to wait for the leader's answer.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]


@application.callback()
def _parked() -> None:
    """Events that no stream accepts.

    The later events of their aggregates wait with them.
    """


@application.command("list")
def list_parked(of_environment: OfEnvironment = False, as_json: AsJson = False) -> None:
    """Lists parked aggregates, the longest parked first."""
    from relay.parking.command import ParkedQuestion

    report = _report(ParkedQuestion("list", wait=0), of_environment, as_json)
    found = report.document["parked"]
    if as_json or not found:
        _say(report, as_json)
        return
    from devstack.cli.tables import Column, Rows

    columns = (
        Column("aggregate", named=False), Column("events", right=True), Column("first position", right=True),
        Column("since", named=False), Column("reason", folds=True),
    )  # fmt: skip
    rows = [
        (
            f"{one['aggregate_type']} {one['aggregate_id']}",
            str(one["events"]),
            str(one["first_position"]),
            one["since"],
            one["reason"],
        )
        for one in found
    ]
    show(Rows(columns, rows))


@application.command("show")
def show_parked(
    aggregate_id: AggregateId,
    type_: AggregateType = None,
    of_environment: OfEnvironment = False,
    as_json: AsJson = False,
) -> None:
    """Shows the parked events of an aggregate."""
    from relay.parking.command import ParkedQuestion

    question = ParkedQuestion("show", aggregate_id, type_, wait=0)
    _say(_report(question, of_environment, as_json), as_json)


@application.command("retry")
def retry(
    aggregate_id: AggregateId,
    type_: AggregateType = None,
    wait: Wait = 30.0,
    of_environment: OfEnvironment = False,
    as_json: AsJson = False,
) -> None:
    """Publishes parked events, once the cause is fixed."""
    from relay.parking.command import ParkedQuestion

    question = ParkedQuestion("retry", aggregate_id, type_, wait=wait)
    _say(_report(question, of_environment, as_json), as_json)


@application.command("discard")
def discard(
    aggregate_id: AggregateId,
    type_: AggregateType = None,
    position: Annotated[
        int | None,
        typer.Option(
            parser=whole(),
            metavar="N",
            show_default=False,
            help="Only the event at that position; retry the rest then.",
        ),
    ] = None,
    wait: Wait = 30.0,
    of_environment: OfEnvironment = False,
    as_json: AsJson = False,
) -> None:
    """Discards parked events.

    They stay in the outbox and are never published.
    """
    from relay.parking.command import ParkedQuestion

    question = ParkedQuestion("discard", aggregate_id, type_, position, wait)
    _say(_report(question, of_environment, as_json), as_json)


def _report(question: ParkedQuestion, of_environment: bool, as_json: bool) -> ParkedReport:
    """Runs the relay's own command and returns its report; ends this command when that one fails."""
    from relay.parking.command import run_parked

    settings = relay_settings(of_environment, as_json=as_json)
    report = asyncio.run(run_parked(settings, question, patience_seconds=sign_seconds()))
    if report.error:
        fail(report.error, ExitCode(report.exit_code), as_json=as_json)
    return report


def _say(report: ParkedReport, as_json: bool) -> None:
    from relay.parking.command import lines

    if as_json:
        say_json(report.document)
        return
    for line in lines(report):
        say(line)
