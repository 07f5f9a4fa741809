"""`tandem relay parked`: aggregates that are held back because an event of theirs could not be published."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from devstack.cli.exit_codes import ExitCode
from devstack.cli.output import fail
from devstack.cli.relay_settings import OfEnvironment, database_name, relay_settings
from devstack.cli.terminal import say, say_json, show
from devstack.cli.waiting_time import patience_seconds

if TYPE_CHECKING:
    from relay.request_table import ParkedAggregate, RequestTable

application = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
Answer = TypeVar("Answer")
AggregateId = Annotated[str, typer.Argument(metavar="AGGREGATE", help="Id, as `list` shows it.")]
AggregateType = Annotated[
    str | None,
    typer.Option("--type", metavar="TYPE", show_default=False, help="Where aggregates of several types have that id."),
]
Wait = Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How long to wait for the leader's answer.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]


@application.callback()
def _parked() -> None:
    """Events that no stream takes.

    The later events of their aggregates wait with them.
    """


@application.command("list")
def list_parked(of_environment: OfEnvironment = False, as_json: AsJson = False) -> None:
    """Lists what is held back, the longest parked first."""
    found, database = _with_table(lambda table: table.parked(), of_environment, as_json)
    if as_json:
        say_json({"database": database, "parked": [one.as_dict() for one in found]})
    elif not found:
        say("nothing is parked")
    else:
        from devstack.cli.tables import Column, Rows

        columns = (
            Column("aggregate", named=False), Column("events", right=True), Column("first position", right=True),
            Column("since", named=False), Column("reason", folds=True),
        )  # fmt: skip
        rows = [
            (
                f"{one.aggregate_type} {one.aggregate_id}",
                str(one.events),
                str(one.first_position),
                one.since,
                one.reason,
            )
            for one in found
        ]
        show(Rows(columns, rows))


@application.command("retry")
def retry(
    aggregate_id: AggregateId,
    type_: AggregateType = None,
    wait: Wait = 30.0,
    of_environment: OfEnvironment = False,
    as_json: AsJson = False,
) -> None:
    """Publishes what is parked, once its cause is put right."""
    _ask("retry", aggregate_id, type_, None, wait, of_environment, as_json)


@application.command("discard")
def discard(
    aggregate_id: AggregateId,
    type_: AggregateType = None,
    position: Annotated[
        int | None,
        typer.Option(metavar="N", show_default=False, help="Only the event at that position; retry the rest then."),
    ] = None,
    wait: Wait = 30.0,
    of_environment: OfEnvironment = False,
    as_json: AsJson = False,
) -> None:
    """Gives parked events up.

    They stay in the outbox and are never published.
    """
    _ask("discard", aggregate_id, type_, position, wait, of_environment, as_json)


def _ask(
    action: str,
    aggregate_id: str,
    type_: str | None,
    position: int | None,
    wait: float,
    of_environment: bool,
    as_json: bool,
) -> None:
    async def ask(table: RequestTable) -> str | None:
        aggregate = _the_one(await table.parked(aggregate_id), aggregate_id, type_, as_json)
        return await table.answer(await table.ask(action, aggregate, position), wait)

    answer, database = _with_table(ask, of_environment, as_json, longest=wait)
    if answer is None:
        fail(f"requested; no leader has carried it out within {wait:g} s", ExitCode.DEGRADED, as_json=as_json)
    if "refused" in answer:
        fail(answer, ExitCode.DEGRADED, as_json=as_json)
    if as_json:
        say_json({"database": database, "outcome": answer})
    else:
        say(answer)


def _the_one(found: Sequence[ParkedAggregate], aggregate_id: str, type_: str | None, as_json: bool) -> ParkedAggregate:
    wanted = [one for one in found if type_ in {None, one.aggregate_type}]
    if not wanted:
        fail(f"nothing is parked of aggregate {aggregate_id}", ExitCode.DEGRADED, as_json=as_json)
    if len(wanted) > 1:
        types = ", ".join(sorted(one.aggregate_type for one in wanted))
        fail(f"aggregates of several types have that id ({types}): add --type", ExitCode.USAGE, as_json=as_json)
    return wanted[0]


def _with_table(
    work: Callable[[RequestTable], Awaitable[Answer]], of_environment: bool, as_json: bool, *, longest: float = 0.0
) -> tuple[Answer, str]:
    """What `work` gives over a connection of ours, and the database that was asked; `longest` is what `work` itself may
    wait."""
    import psycopg

    from relay.database import connect
    from relay.errors import Refused
    from relay.outbox_table import TableName
    from relay.request_table import RequestTable

    settings = relay_settings(of_environment, as_json=as_json)

    async def connected() -> Answer:
        async with asyncio.timeout(longest + patience_seconds()):
            async with await connect(settings.database_url, "tandem relay parked") as connection:
                return await work(RequestTable(TableName.parse(settings.table), settings.stream, connection))

    try:
        return asyncio.run(connected()), database_name(settings)
    except Refused as refusal:
        fail(str(refusal), ExitCode.DEGRADED, as_json=as_json)
    except (psycopg.OperationalError, OSError, TimeoutError) as error:
        why = str(error).strip() or "it does not answer"
        fail(f"the database {database_name(settings)} cannot be reached: {why}", ExitCode.DOWN, as_json=as_json)
