"""Compares the outbox with the stream by event id. The database does it, because it can sort more than fits in memory.

A row up to the floor is missing if its event is not in the stream. But if the beginning of the stream has aged out, the
stream also lacks events that it once had, and those must not be published again. A row counts as delivered then if the
snapshot of the old source's last cursor sees it, and if it was recorded before the last time that the old source
reported. A row that was recorded later belongs to the new history, whose transaction ids say nothing about the old one.

A row that is parked in the database is not missing if the stream's last notice about it says the same. If the stream
has the event of such a row, the database was set back to a time before its retry. Then the row is parked no longer.
"""
# ruff: noqa: S608 - all that is put into SQL here is a quoted identifier or an expression made of them

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from relay.events.barrier import TIME_HEADER
from relay.events.cursor import HEADER, Cursor, PollCursor
from relay.events.header_value import decode
from relay.events.message import AGGREGATE_HEADER, EPOCH_HEADER, VERSION_HEADER
from relay.events.parked_notice import DISCARDED, PARKED_HEADER
from relay.outbox.adoption_record import MOST_LISTED, LostEvent
from relay.outbox.bookkeeping import PARKED_TABLE
from relay.outbox.database import DatabaseConnection
from relay.outbox.request_table import not_discarded
from relay.outbox.table import OutboxTable, Query
from relay.stream.history import POSITION_HEADER, StreamHistory

#: The kinds of messages about one event. The third is a notice that it was discarded.
_EVENT, _PARKED = "event", "parked"
_STREAM, _MISSING, _LOST = "pg_temp.tandem_stream", "pg_temp.tandem_missing", "pg_temp.tandem_lost"


@dataclass(slots=True)
class StreamContent:
    """What the stream holds.

    `as_of` is the last barrier time of the old source (µs since 1970, its clock); None without one. `events` is the
    number of events. `adopted` of them have the new epoch already, from an interrupted adoption.
    """

    first_sequence: int = 1
    as_of: int | None = None
    events: int = 0
    adopted: int = 0


@dataclass(frozen=True, slots=True)
class Lost:
    """The events that the stream has and the source does not: their number, their aggregates, and the first of them."""

    events: int
    aggregates: int
    listed: Sequence[LostEvent]


class StreamComparison:
    """Compares outbox and stream in temporary tables of the leader's session.

    It uses the session all the time, so that the server does not end it.
    """

    def __init__(self, table: OutboxTable, connection: DatabaseConnection, history: StreamHistory, epoch: int) -> None:
        self._table = table
        self._connection = connection
        self._history = history
        self._epoch = epoch
        parked = table.name.beside(PARKED_TABLE).quoted
        self._parked = f"(SELECT position AS tandem_parked FROM {parked}) AS tandem_parked_rows"

    async def read_stream(self) -> StreamContent:
        """Copies id, position, aggregate, version and sequence of every event in the stream into the database.

        It also copies the notices about parked events.
        """
        await self._drop()
        await self._connection.execute(
            f"CREATE TEMP TABLE {_name(_STREAM)} (tandem_event_id text, tandem_position bigint,"
            " tandem_type text, tandem_id text, tandem_version bigint, tandem_sequence bigint, tandem_kind text)"
        )
        content = StreamContent(await self._history.first_sequence())
        async with contextlib.aclosing(self._history.headers()) as chunks:
            async for chunk in chunks:
                rows = [row for sequence, headers in chunk if (row := self._row(sequence, headers, content))]
                async with (
                    self._connection.cursor() as cursor,
                    cursor.copy(f"COPY {_STREAM} FROM STDIN") as copy,  # an empty copy keeps the session alive
                ):
                    for row in rows:
                        await copy.write_row(row)
        await self._connection.execute(f"ANALYZE {_STREAM}")
        return content

    async def find_missing(self, floor: int, old: Cursor, content: StreamContent, old_floor: int) -> int:
        """Finds the rows up to `floor` that the stream lacks, and returns their number. `missing` reads them.

        `old` is the last cursor of the old source. `old_floor` is the floor of its epoch.
        """
        aged, parameters = self._aged(old, content, old_floor)
        kept = await not_discarded(self._connection, self._table)
        await self._connection.execute(
            f"CREATE TEMP TABLE {_name(_MISSING)} AS"
            f" SELECT {self._table.position} AS tandem_position FROM {self._table.name.quoted} AS o"
            f" WHERE {self._table.position} <= %(floor)s::bigint AND NOT {aged}{kept}"
            f" AND NOT EXISTS (SELECT FROM {_STREAM} s"
            f" WHERE s.tandem_event_id = {self._table.event_id} AND s.tandem_kind = '{_EVENT}')"
            f" AND NOT EXISTS (SELECT FROM {self._parked} WHERE tandem_parked = {self._table.position}"
            f" AND '{_PARKED}' = (SELECT s.tandem_kind FROM {_STREAM} s"
            f" WHERE s.tandem_event_id = {self._table.event_id} ORDER BY s.tandem_sequence DESC LIMIT 1))",
            {"floor": floor, **parameters},
        )
        await self._connection.execute(f"ALTER TABLE {_MISSING} ADD PRIMARY KEY (tandem_position)")
        await self._connection.execute(f"ANALYZE {_MISSING}")
        return int((await self._one(f"SELECT count(*) FROM {_MISSING}"))[0])

    async def release_published(self) -> None:
        """Makes the rows that are parked in the database, and whose events the stream has, parked no longer."""
        table = self._table
        published = (
            f"SELECT tandem_parked FROM {self._parked} JOIN {table.name.quoted} ON {table.position} = tandem_parked"
            f" JOIN {_STREAM} s ON s.tandem_event_id = {table.event_id} AND s.tandem_kind = '{_EVENT}'"
        )
        if (await (await self._connection.execute(published)).fetchone()) is not None:
            parked = table.name.beside(PARKED_TABLE).quoted
            await self._connection.execute(f"DELETE FROM {parked} WHERE position IN ({published})")

    def missing(self, after: int, limit: int) -> Query:
        """Returns the query for the first `limit` missing rows after a position, in the order of positions."""
        return self._table.joined(_MISSING, "tandem_position", after, limit)

    async def find_lost(self) -> Lost:
        """Returns the events of the stream that the source lacks.

        Events before the first remaining row of the outbox do not count.
        """
        table = self._table
        await self._connection.execute(
            f"CREATE TEMP TABLE {_name(_LOST)} AS SELECT * FROM {_STREAM} s WHERE s.tandem_kind = '{_EVENT}'"
            f" AND s.tandem_position >= coalesce((SELECT min({table.position}) FROM {table.name.quoted}), 0)"
            f" AND NOT EXISTS (SELECT FROM {table.name.quoted} AS o WHERE {table.event_id} = s.tandem_event_id)"
        )
        events, aggregates = await self._one(f"SELECT count(*), count(DISTINCT (tandem_type, tandem_id)) FROM {_LOST}")
        rows = await self._connection.execute(
            "SELECT tandem_event_id, tandem_type, tandem_id, tandem_version, tandem_sequence"
            f" FROM {_LOST} ORDER BY tandem_sequence LIMIT {MOST_LISTED}"
        )
        return Lost(events, aggregates, [LostEvent(*row) for row in await rows.fetchall()])

    def _row(
        self, sequence: int, headers: Mapping[str, str], content: StreamContent
    ) -> tuple[str, int, str, str, int | None, int, str] | None:
        if TIME_HEADER in headers and headers.get(EPOCH_HEADER) != str(self._epoch):
            moment = datetime.fromisoformat(headers[TIME_HEADER])
            content.as_of = int(moment.timestamp()) * 1_000_000 + moment.microsecond
        position, kind = headers.get(POSITION_HEADER, ""), _kind(headers)
        event_id = headers.get("ce-id", headers.get("Tandem-Event-Id"))
        if HEADER not in headers or event_id is None or not position.isdecimal():
            return None
        if kind == _EVENT:
            content.events += 1
            content.adopted += headers.get(EPOCH_HEADER) == str(self._epoch)
        version = headers.get(VERSION_HEADER, "")
        return (
            decode(event_id),
            int(position),
            decode(headers.get(AGGREGATE_HEADER, "")),
            decode(headers.get("ce-subject", "")),
            int(version) if version.lstrip("-").isdecimal() else None,
            sequence,
            kind,
        )

    def _aged(self, old: Cursor, content: StreamContent, old_floor: int) -> tuple[str, dict[str, Any]]:
        """Returns the SQL condition that a row was delivered and has aged out of the stream, and its parameters."""
        if content.first_sequence <= 1 or content.as_of is None:
            return "false", {}
        transaction, position = self._table.transaction_id, self._table.position
        parameters: dict[str, Any] = {"as_of": content.as_of, "old_floor": old_floor}
        if isinstance(old, PollCursor):
            seen = old.seen
            parameters |= {"ended": [], "upto": None, "reached": old.position}
            if old.upto is not None:
                parameters["upto"] = old.upto.text
        else:
            seen = old.checkpoint.snapshot
            parameters |= {"ended": [str(one) for one in old.checkpoint.transactions], "upto": None, "reached": 0}
        parameters["seen"] = seen.text if seen is not None else None
        return (
            f"""coalesce({self._table.recorded_at} < %(as_of)s::bigint AND (
                {position} <= %(old_floor)s::bigint
                OR pg_visible_in_snapshot({transaction}, %(seen)s::pg_snapshot)
                OR {transaction} = ANY(%(ended)s::xid8[])
                OR pg_visible_in_snapshot({transaction}, %(upto)s::pg_snapshot) AND {position} <= %(reached)s::bigint
            ), false)""",
            parameters,
        )

    async def _drop(self) -> None:
        await self._connection.execute(f"DROP TABLE IF EXISTS {_STREAM}, {_MISSING}, {_LOST}")

    async def _one(self, statement: str) -> tuple[Any, ...]:
        row = await (await self._connection.execute(statement)).fetchone()
        assert row is not None
        return tuple(row)


def _kind(headers: Mapping[str, str]) -> str:
    return _EVENT if "ce-id" in headers else _PARKED if PARKED_HEADER in headers else DISCARDED


def _name(table: str) -> str:
    return table.rpartition(".")[2]
