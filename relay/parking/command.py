"""Runs `parked list|show|retry|discard` for operators.

Exit codes: 0 done, 1 refused or not executed, 2 wrong usage, 3 the database cannot be reached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg

from relay.config import RelaySettings
from relay.events.errors import Refused
from relay.outbox.database import connect
from relay.outbox.request_table import ParkedAggregate, RequestTable
from relay.outbox.table import TableName
from service_runtime.error_text import in_one_line

DONE, REFUSED, MISUSED, DOWN = 0, 1, 2, 3
#: The default time to wait for the leader's answer.
WAIT_SECONDS = 30.0
#: A database that takes longer than this to connect or to answer counts as unreachable.
PATIENCE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ParkedQuestion:
    """An operator's request.

    `aggregate_type` is needed only if aggregates of several types have the id. `position` is that of a single event to
    discard; None for all of the aggregate. `wait` is how long to wait for the leader's answer, in seconds.
    """

    action: str
    aggregate_id: str = ""
    aggregate_type: str | None = None
    position: int | None = None
    wait: float = WAIT_SECONDS


@dataclass(frozen=True, slots=True)
class ParkedReport:
    """The answer: a JSON document, or one sentence in `error`, and the exit code of the command."""

    exit_code: int = DONE
    document: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""


async def run_parked(
    settings: RelaySettings, question: ParkedQuestion, *, patience_seconds: float = PATIENCE_SECONDS
) -> ParkedReport:
    """Answers a question from the outbox's database. A retry or discard is sent to the leader through that database.

    Connecting, and everything else except the wait for the leader's answer, may take `patience_seconds` each.
    """
    database = settings.database_name
    try:
        async with asyncio.timeout(patience_seconds):
            connection = await connect(settings.database_url, "tandem-relay parked")
        async with asyncio.timeout(patience_seconds + question.wait), connection:
            table = RequestTable(TableName.parse(settings.table), settings.stream, connection)
            found = await _look_up(table, question)
            if isinstance(found, ParkedReport):
                return found if found.error else replace(found, document={"database": database, **found.document})
            answer = await table.answer(await table.ask(question.action, found, question.position), question.wait)
    except (Refused, psycopg.errors.InsufficientPrivilege) as refusal:
        return ParkedReport(REFUSED, error=str(refusal).strip())
    except (psycopg.Error, OSError, TimeoutError) as error:
        return ParkedReport(DOWN, error=f"the database {database} cannot be reached: {in_one_line(error)}")
    if answer is None:
        return ParkedReport(REFUSED, error=f"requested; no leader has carried it out within {question.wait:g} s")
    if "refused" in answer:
        return ParkedReport(REFUSED, error=answer)
    return ParkedReport(document={"database": database, "outcome": answer})


async def _look_up(table: RequestTable, question: ParkedQuestion) -> ParkedReport | ParkedAggregate:
    """Returns the report if the request needs no leader or cannot be executed, otherwise its aggregate."""
    if question.action == "list":
        return ParkedReport(document={"parked": [one.as_dict() for one in await table.parked()]})
    aggregate = _the_one(await table.parked(question.aggregate_id), question)
    if isinstance(aggregate, ParkedReport) or question.action != "show":
        return aggregate
    events = [one.as_dict() for one in await table.events(aggregate)]
    return ParkedReport(document={"parked": [aggregate.as_dict() | {"parked_events": events}]})


def _the_one(found: Sequence[ParkedAggregate], question: ParkedQuestion) -> ParkedAggregate | ParkedReport:
    wanted = [one for one in found if question.aggregate_type in {None, one.aggregate_type}]
    if not wanted:
        return ParkedReport(REFUSED, error=f"nothing is parked of aggregate {question.aggregate_id}")
    if len(wanted) > 1:
        types = ", ".join(sorted(one.aggregate_type for one in wanted))
        return ParkedReport(MISUSED, error=f"aggregates of several types have that id ({types}): add --type")
    return wanted[0]


def lines(report: ParkedReport) -> list[str]:
    """Returns the report as lines of text for people."""
    if report.error:
        return [report.error]
    if "outcome" in report.document:
        return [str(report.document["outcome"])]
    said = []
    for one in report.document["parked"]:
        said.append(
            f"{one['aggregate_type']} {one['aggregate_id']}: {one['events']} events since {one['since']}, the first at"
            f" position {one['first_position']}: {one['reason']}"
        )
        for event in one.get("parked_events", ()):
            version = f" version {event['aggregate_version']}" if event["aggregate_version"] is not None else ""
            said.append(f"  position {event['position']}{version}, {event['parked_at']}: {event['reason']}")
    return said or ["nothing is parked"]
