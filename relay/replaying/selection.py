"""Reads the rows that a replay publishes, from a session that cannot write.

A replay publishes the rows that one snapshot sees, in the order of their positions. The snapshot is taken when the
replay begins and is in every message's cursor, so a replay that is resumed publishes the same rows. A transaction that
is open at that time is not part of the replay, whatever the positions of its rows are. So no row is passed over because
its transaction commits late.
"""
# ruff: noqa: S608 - all that is put into SQL here is a quoted identifier or an expression made of them

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

from relay.config import RelaySettings
from relay.events.errors import Refused
from relay.events.event import OutboxEvent
from relay.events.snapshot import Snapshot
from relay.outbox.adoption_record import AdoptionRecords
from relay.outbox.bookkeeping import PARKED_TABLE
from relay.outbox.database import DatabaseConnection, configure, connect
from relay.outbox.fetch_events import fetch_events
from relay.outbox.request_table import discarded_positions
from relay.outbox.rights import Need, require_rights
from relay.outbox.source_identity import COLUMNS, require_same_source
from relay.outbox.startup_checks import check_database
from relay.outbox.table import PLANNER_SETTINGS, OutboxTable, TableName, find_table
from relay.replaying.request import ReplayRequest, is_uuid

#: One statement looks at so many positions at most, so a filter that finds little does not make it long.
WINDOW = 100_000
_READ_ONLY = {"default_transaction_read_only": "on"}


@dataclass(frozen=True, slots=True)
class Chunk:
    """The next rows. All rows up to the position `reached` were looked at. `end` says that no row follows.

    `parked` has the reasons of those rows that are parked, by position.
    """

    events: list[OutboxEvent]
    parked: Mapping[int, str]
    reached: int
    end: bool


class Selection:
    """The rows of one request, read over one session."""

    def __init__(
        self, connection: DatabaseConnection, table: OutboxTable, request: ReplayRequest, source_epoch: int
    ) -> None:
        self._connection = connection
        self._request = request
        self._discarded: frozenset[int] = frozenset()
        self._condition, self._parameters = _condition(request, table)
        self.table = table
        self.source_epoch = source_epoch
        #: The first and the last position that can be part of the replay.
        self.first = self.last = 0
        #: A snapshot from before the last position was looked up, so no row that it sees has a higher one.
        self.snapshot = Snapshot(3, 3)

    @classmethod
    async def open(cls, settings: RelaySettings, request: ReplayRequest) -> Selection:
        """Opens a session that cannot write, and checks the database.

        Raises Refused if the relay must not read from this database, psycopg.Error or OSError if it cannot be reached.
        """
        connection = await connect(settings.database_url, "tandem-relay replay")
        try:
            await configure(connection, _READ_ONLY | PLANNER_SETTINGS)
            name, source = TableName.parse(settings.table), TableName.parse(settings.source_table)
            await check_database(connection, settings.database_url)
            needs = [Need(name, ("SELECT",)), Need(source, ("SELECT",), COLUMNS)]
            await require_rights(connection, needs)
            identity = await require_same_source(connection, source)
            table = await find_table(connection, name, settings.columns)
            table.floor = await AdoptionRecords(name, settings.stream).floor(connection, identity.epoch)
            selection = cls(connection, table, request, identity.epoch)
            await selection._measure()
        except psycopg.errors.InsufficientPrivilege as error:
            await connection.close()
            raise Refused(f"the relay's role lacks a right: {str(error).strip()}") from None
        except BaseException:
            await connection.close()
            raise
        return selection

    async def close(self) -> None:
        """Ends the session."""
        await self._connection.close()

    async def read(self, upto: Snapshot, after: int, max_events: int, max_bytes: int) -> Chunk:
        """Returns the next rows after a position that `upto` sees and the request wants."""
        after = max(after, self.first - 1)
        until = min(self.last, after + WINDOW)
        query = self.table.by_position(None, upto, after, max_events, until, self._condition, self._parameters)
        events, complete = await fetch_events(self._connection, query, max_bytes)
        whole = complete and len(events) < max_events
        reached = until if whole else events[-1].position
        if whole and reached < self.last and not events:
            reached = await self._before_next(reached)
        events = [event for event in events if event.position not in self._discarded]
        return Chunk(events, await self._parked(events), reached, end=reached >= self.last)

    async def _before_next(self, position: int) -> int:
        """Returns the position before the next row, because positions may have long gaps."""
        row = await (
            await self._connection.execute(
                f"SELECT min({self.table.position}) FROM {self.table.name.quoted}"
                f" WHERE {self.table.position} > %s::bigint",
                [position],
            )
        ).fetchone()
        assert row is not None
        return self.last if row[0] is None else min(self.last, int(row[0]) - 1)

    async def _measure(self) -> None:
        """Takes the snapshot, and then finds first and last position, and the rows that an operator has discarded."""
        row = await (await self._connection.execute("SELECT pg_current_snapshot()::text")).fetchone()
        assert row is not None
        self.snapshot = Snapshot.parse(row[0])
        position, start, end = self.table.position, self._request.start.position, self._request.end.position
        row = await (
            await self._connection.execute(
                f"SELECT coalesce(min({position}), 1), coalesce(max({position}), 0) FROM {self.table.name.quoted}"
            )
        ).fetchone()
        assert row is not None
        self.first = max(int(row[0]), start or 0)
        self.last = int(row[1]) if end is None else min(int(row[1]), end)
        self._discarded = await discarded_positions(self._connection, self.table.name)

    async def _parked(self, events: list[OutboxEvent]) -> Mapping[int, str]:
        parked = self.table.name.beside(PARKED_TABLE)
        if not events or not await self._exists(parked):
            return {}
        rows = await self._connection.execute(
            f"SELECT position, coalesce(reason, '') FROM {parked.quoted} WHERE position = ANY(%s::bigint[])",
            [[event.position for event in events]],
        )
        return dict(await rows.fetchall())

    async def _exists(self, table: TableName) -> bool:
        row = await (await self._connection.execute("SELECT to_regclass(%s) IS NOT NULL", [table.plain])).fetchone()
        return row is not None and bool(row[0])


def _condition(request: ReplayRequest, table: OutboxTable) -> tuple[str, Mapping[str, Any]]:
    """Returns the SQL condition ` AND …` for times, types and aggregates of a request, and its parameters."""
    # A uuid column is printed in small letters, and a text column has ids as they were written.
    ids = [*request.aggregates, *(one.upper() for one in request.aggregates if is_uuid(one))]
    parts = {
        "from_time": (f"{table.recorded_at} >= %(from_time)s::bigint", request.start.time),
        "until_time": (f"{table.recorded_at} < %(until_time)s::bigint", request.end.time),
        "types": (f"{table.event_type} = ANY(%(types)s::text[])", list(request.types) or None),
        "aggregates": (f"{table.aggregate_id} = ANY(%(aggregates)s::text[])", ids or None),
    }
    used = {name: part for name, part in parts.items() if part[1] is not None}
    return "".join(f" AND {sql}" for sql, _ in used.values()), {name: value for name, (_, value) in used.items()}
