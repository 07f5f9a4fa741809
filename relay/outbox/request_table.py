"""Lists parked events, and sends an operator's requests about them to the leader through a table."""
# ruff: noqa: S608 - all that is put into SQL here is a quoted identifier

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psycopg

from relay.events.errors import Refused
from relay.outbox.bookkeeping import PARKED_TABLE, STATE_TABLE, making
from relay.outbox.database import DatabaseConnection
from relay.outbox.table import OutboxTable, TableName

REQUEST_TABLE = "relay_request"
_COLUMNS = (
    "id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, stream text NOT NULL, action text NOT NULL,"
    " aggregate_type text NOT NULL, aggregate_id text NOT NULL, position bigint,"
    " requested_at timestamptz NOT NULL DEFAULT now(), begun_behind bigint, positions bigint[], done_at timestamptz,"
    " outcome text"
)
_LOOK_SECONDS = 0.2
#: The most events of one aggregate that are shown.
MOST_SHOWN = 1_000


@dataclass(frozen=True, slots=True)
class ParkedAggregate:
    """An aggregate with parked events. `reason` and `since` (UTC) are those of its first parked event."""

    aggregate_type: str
    aggregate_id: str
    events: int
    first_position: int
    reason: str
    since: str

    def as_dict(self) -> dict[str, Any]:
        """Returns the fields as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ParkedRow:
    """One parked event of an aggregate. `parked_at` is in UTC."""

    position: int
    aggregate_version: int | None
    reason: str
    parked_at: str

    def as_dict(self) -> dict[str, Any]:
        """Returns the fields as a JSON object."""
        return asdict(self)


class RequestTable:
    """Reads parked events of one outbox, and writes requests to the leader, over an operator's connection."""

    def __init__(self, outbox: TableName, stream: str, connection: DatabaseConnection) -> None:
        self._requests = outbox.beside(REQUEST_TABLE)
        self._parked = outbox.beside(PARKED_TABLE)
        self._state = outbox.beside(STATE_TABLE)
        self._stream = stream
        self._connection = connection

    async def parked(self, aggregate_id: str | None = None) -> Sequence[ParkedAggregate]:
        """Returns all parked aggregates, or those with an id, in the order of their first parked positions."""
        try:
            rows = await self._connection.execute(
                "SELECT coalesce(aggregate_type, ''), coalesce(aggregate_id, ''), count(*), min(position),"
                " (array_agg(reason ORDER BY position))[1],"
                " to_char(min(parked_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
                f" FROM {self._parked.quoted} WHERE %(id)s::text IS NULL"
                " OR coalesce(aggregate_id, '') = %(id)s GROUP BY 1, 2 ORDER BY 4",
                {"id": aggregate_id},
            )
        except psycopg.errors.UndefinedTable:
            return []  # no relay has ever run here
        return [ParkedAggregate(*row) for row in await rows.fetchall()]

    async def events(self, aggregate: ParkedAggregate) -> Sequence[ParkedRow]:
        """Returns the first thousand parked events of an aggregate, in their order."""
        rows = await self._connection.execute(
            "SELECT position, aggregate_version, reason,"
            " to_char(parked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
            f" FROM {self._parked.quoted} WHERE coalesce(aggregate_type, '') = %s AND coalesce(aggregate_id, '') = %s"
            " ORDER BY position LIMIT %s",
            [aggregate.aggregate_type, aggregate.aggregate_id, MOST_SHOWN],
        )
        return [ParkedRow(*row) for row in await rows.fetchall()]

    async def ask(self, action: str, aggregate: ParkedAggregate, position: int | None = None) -> int:
        """Writes a request for the leader and returns its id. Raises Refused if the operator's role may not."""
        try:
            await self._prepare()
            rows = await self._connection.execute(
                f"INSERT INTO {self._requests.quoted} (stream, action, aggregate_type, aggregate_id, position)"
                " VALUES (%s, %s, %s, %s, %s) RETURNING id",
                [self._stream, action, aggregate.aggregate_type, aggregate.aggregate_id, position],
            )
        except psycopg.errors.InsufficientPrivilege as error:
            raise Refused(
                f"requests need the rights of the owner of {self._parked} (RELAY_DATABASE_URL):"
                f" {error.diag.message_primary}"
            ) from None
        row = await rows.fetchone()
        assert row is not None
        return int(row[0])

    async def answer(self, request: int, seconds: float) -> str | None:
        """Waits up to `seconds` for the leader's answer to the request with the id `request`, and returns it.

        Returns None if the leader has not answered by then.
        """
        deadline = time.monotonic() + seconds
        while True:
            rows = await self._connection.execute(
                f"SELECT outcome FROM {self._requests.quoted} WHERE id = %s AND done_at IS NOT NULL", [request]
            )
            row = await rows.fetchone()
            if row is not None:
                return str(row[0])
            if time.monotonic() > deadline:
                return None
            await asyncio.sleep(_LOOK_SECONDS)

    async def _prepare(self) -> None:
        """Creates the table if it is missing, and grants rights to the roles that may update the relay's state."""
        async with making(self._connection, self._requests):
            await self._connection.execute(
                f"CREATE TABLE IF NOT EXISTS {self._requests.quoted} ({_COLUMNS})", prepare=False
            )
            relays = await self._connection.execute(
                "SELECT DISTINCT a.grantee::regrole::text FROM pg_class c, aclexplode(c.relacl) a"
                " WHERE c.oid = to_regclass(%s) AND a.privilege_type = 'UPDATE' AND a.grantee <> 0",
                [self._state.plain],
            )
            for (role,) in await relays.fetchall():  # regrole quotes what needs quotes
                await self._connection.execute(f"GRANT SELECT, UPDATE ON {self._requests.quoted} TO {role}")
                await self._connection.execute(f"GRANT DELETE ON {self._parked.quoted} TO {role}")


async def discarded_positions(connection: DatabaseConnection, name: TableName) -> frozenset[int]:
    """Returns the positions of those rows of the outbox `name` that an operator has discarded."""
    requests = name.beside(REQUEST_TABLE)
    if not await _exists(connection, requests):
        return frozenset()
    rows = await connection.execute(f"SELECT unnest(positions) FROM {requests.quoted} WHERE action = 'discard'")
    return frozenset(int(position) for (position,) in await rows.fetchall())


async def not_discarded(connection: DatabaseConnection, table: OutboxTable) -> str:
    """Returns the SQL condition ` AND …` that no operator has discarded the row `o` of the outbox.

    It is empty if nothing was ever discarded.
    """
    requests = table.name.beside(REQUEST_TABLE)
    if not await _exists(connection, requests):
        return ""
    return (
        f" AND NOT EXISTS (SELECT FROM {requests.quoted} r WHERE r.action = 'discard'"
        f" AND o.{table.position} = ANY(r.positions))"
    )


async def _exists(connection: DatabaseConnection, table: TableName) -> bool:
    row = await (await connection.execute("SELECT to_regclass(%s) IS NOT NULL", [table.plain])).fetchone()
    return row is not None and bool(row[0])
