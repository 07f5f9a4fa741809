"""`tandem relay parked`: aggregates that are held back because an event of theirs could not be published."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from devstack.cli.exit_codes import ExitCode
from devstack.cli.output import fail, print_json
from devstack.cli.relay_settings import relay_settings

if TYPE_CHECKING:
    from relay.request_table import ParkedAggregate, RequestTable

application = typer.Typer(no_args_is_help=True)
Answer = TypeVar("Answer")
AggregateId = Annotated[str, typer.Argument(metavar="AGGREGATE_ID", help="As `list` shows it.")]
AggregateType = Annotated[str | None, typer.Option("--type", help="Where aggregates of several types have that id.")]
Wait = Annotated[float, typer.Option(min=0, help="Seconds to wait for the leader's answer.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]


@application.callback()
def _parked() -> None:
    """Events that no stream takes, and the later ones of their aggregates."""


@application.command("list")
def list_parked(as_json: AsJson = False) -> None:
    """Lists what is held back, the longest parked first."""
    found = _with_table(lambda table: table.parked(), as_json)
    if as_json:
        print_json({"parked": [one.as_dict() for one in found]})
        return
    from rich.console import Console
    from rich.table import Table

    if not found:
        Console().print("nothing is parked")
        return
    shown = Table(box=None, pad_edge=False)
    for heading in ("aggregate", "events", "first position", "since", "reason"):
        shown.add_column(heading, overflow="fold")
    for one in found:
        name = f"{one.aggregate_type} {one.aggregate_id}"
        shown.add_row(name, str(one.events), str(one.first_position), one.since, one.reason)
    Console().print(shown)


@application.command("retry")
def retry(aggregate_id: AggregateId, type_: AggregateType = None, wait: Wait = 30.0, as_json: AsJson = False) -> None:
    """Publishes the parked events of an aggregate, once what refused them is put right."""
    _ask("retry", aggregate_id, type_, None, wait, as_json)


@application.command("discard")
def discard(
    aggregate_id: AggregateId,
    type_: AggregateType = None,
    position: Annotated[int | None, typer.Option(help="Only the event at that position; retry the rest then.")] = None,
    wait: Wait = 30.0,
    as_json: AsJson = False,
) -> None:
    """Gives parked events up: they stay in the outbox and are never published."""
    _ask("discard", aggregate_id, type_, position, wait, as_json)


def _ask(action: str, aggregate_id: str, type_: str | None, position: int | None, wait: float, as_json: bool) -> None:
    async def ask(table: RequestTable) -> str | None:
        aggregate = _the_one(await table.parked(aggregate_id), aggregate_id, type_, as_json)
        return await table.answer(await table.ask(action, aggregate, position), wait)

    answer = _with_table(ask, as_json)
    if answer is None:
        fail(f"requested; no leader has carried it out within {wait:g} s", ExitCode.DEGRADED, as_json=as_json)
    if "refused" in answer:
        fail(answer, ExitCode.DEGRADED, as_json=as_json)
    if as_json:
        print_json({"outcome": answer})
    else:
        typer.echo(answer)


def _the_one(found: Sequence[ParkedAggregate], aggregate_id: str, type_: str | None, as_json: bool) -> ParkedAggregate:
    wanted = [one for one in found if type_ in {None, one.aggregate_type}]
    if not wanted:
        fail(f"nothing is parked of aggregate {aggregate_id}", ExitCode.DEGRADED, as_json=as_json)
    if len(wanted) > 1:
        types = ", ".join(sorted(one.aggregate_type for one in wanted))
        fail(f"aggregates of several types have that id ({types}): add --type", ExitCode.USAGE, as_json=as_json)
    return wanted[0]


def _with_table(work: Callable[[RequestTable], Awaitable[Answer]], as_json: bool) -> Answer:
    """What `work` gives, over a connection of ours."""
    import psycopg

    from relay.database import connect
    from relay.errors import Refused
    from relay.outbox_table import TableName
    from relay.request_table import RequestTable

    settings = relay_settings(as_json)

    async def connected() -> Answer:
        async with await connect(settings.database_url, "tandem relay parked") as connection:
            return await work(RequestTable(TableName.parse(settings.table), settings.stream, connection))

    try:
        return asyncio.run(connected())
    except Refused as refusal:
        fail(str(refusal), ExitCode.DEGRADED, as_json=as_json)
    except (psycopg.OperationalError, OSError) as error:
        fail(f"the database cannot be reached: {str(error).strip()}", ExitCode.DOWN, as_json=as_json)
