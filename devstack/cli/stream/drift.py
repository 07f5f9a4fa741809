"""Holds `tandem drift`: whether the read model is what the write side has, and its repair."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from devstack.cli.exit_codes import ExitCode
from devstack.cli.numbers import whole
from devstack.cli.output import fail
from devstack.cli.stream.projection import query_settings
from devstack.cli.terminal import say, say_json
from devstack.cli.terminal import show as draw

application = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
#: The most findings on the screen; `--json` has all.
SHOWN = 20


@application.callback()
def _drift() -> None:
    """Differences between the read model and the write side."""


@application.command("check")
def check(
    repair: Annotated[
        bool, typer.Option("--repair", help="Project orders that differ again; remove those that the write side lacks.")
    ] = False,
    sample: Annotated[
        int | None,
        typer.Option(
            parser=whole(), metavar="N", show_default=False, help="Check the content of about N orders, not of all."
        ),
    ] = None,
    most: Annotated[
        int | None,
        typer.Option(
            parser=whole(), metavar="N", show_default=False, help="Repair up to N orders. Without: 100, or 1 % of all."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document with all findings.")] = False,
) -> None:
    """Compares all orders with the write side.

    It does so in each generation of the read model that projectors feed.

    Exit code 0 nothing differs any more, 1 something does, 3 a store or service does not answer, or lags.
    """
    from query_service.checking import drift
    from service_runtime.log import configure_logging
    from service_runtime.process import StartupRefused

    configure_logging("tandem.drift", "ERROR")
    settings = query_settings(as_json)
    try:
        report = asyncio.run(drift(settings, repair=repair, sample=sample, most_repairs=most))
    except StartupRefused as refusal:
        fail("; ".join(str(refusal).splitlines()), ExitCode.USAGE, as_json=as_json)
    if report.error:
        fail(report.error, ExitCode(report.exit_code), as_json=as_json)
    if as_json:
        say_json(dict(report.document))
    else:
        _print(report.document)
    raise typer.Exit(report.exit_code)


def _print(document: Mapping[str, Any]) -> None:
    from devstack.cli.tables import Column, Rows

    findings = document["findings"]
    several = len(document["generations"]) > 1
    if findings:
        columns = (
            Column("kind", named=False), Column("order", named=False), Column("version", right=True),
            Column("what", folds=True),
        )  # fmt: skip
        rows = [
            (
                one["kind"].lower().replace("_", " "),
                one["order_id"] or "-",
                str(one["version"] or "-"),
                f"{one['generation']}: {one['detail']}" if several and one["generation"] else one["detail"],
            )
            for one in findings[:SHOWN]
        ]
        draw(Rows(columns, rows))
    if len(findings) > SHOWN:
        say(f"and {len(findings) - SHOWN} more; --json shows all")
    if document["generations"]:
        found, repaired = (sum(document[name].values()) for name in ("found", "repaired"))
        say(
            f"{document['orders']} orders compared as of {document['compared_at'][:19]}Z in {document['seconds']:.1f}"
            f" s, the content of {document['content_checked']}{_of_generations(document['generations'])}:"
            f" {found} differences, {repaired} repaired"
        )
    for generation, reason in document["passed_over"].items():
        say(f"generation {generation} was not compared: {reason}")
    if document["problem"]:
        say(document["problem"])


def _of_generations(generations: Sequence[str]) -> str:
    return f", in each of the generations {' and '.join(generations)}" if len(generations) > 1 else ""
