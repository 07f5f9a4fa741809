"""Stores the result of an adoption: its floor, and the events that the stream has and the source has lost."""
# ruff: noqa: S608 - all that is put into SQL here is a quoted identifier

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psycopg
from psycopg.types.json import Json

from relay.events.errors import Refused
from relay.outbox.bookkeeping import STATE_TABLE, making
from relay.outbox.database import DatabaseConnection
from relay.outbox.table import TableName

TABLE = "relay_adoption"
#: The most lost events that are listed one by one. All of them are counted.
MOST_LISTED = 1_000
_COLUMNS = (
    "stream text, source_epoch bigint, floor bigint NOT NULL, adopted_at timestamptz NOT NULL,"
    " published bigint NOT NULL, lost_events bigint NOT NULL, lost_aggregates bigint NOT NULL, lost json NOT NULL,"
    " PRIMARY KEY (stream, source_epoch)"
)


@dataclass(frozen=True, slots=True)
class LostEvent:
    """An event that the stream has at `stream_sequence` and that the source does not have."""

    event_id: str
    aggregate_type: str
    aggregate_id: str
    aggregate_version: int | None
    stream_sequence: int


@dataclass(frozen=True, slots=True)
class AdoptionRecord:
    """The result of one adoption.

    `floor` is the highest position that was restored. `published` counts the restored events that the stream lacked.
    `lost` lists the first of the lost events. `adopted_at` is in UTC.
    """

    source_epoch: int
    floor: int
    adopted_at: str
    published: int
    lost_events: int
    lost_aggregates: int
    lost: Sequence[LostEvent]

    def as_dict(self) -> dict[str, Any]:
        """Returns the fields as a JSON object."""
        return asdict(self)


class AdoptionRecords:
    """Reads and writes the adoptions of one outbox and stream. Their table is created by the first adoption."""

    def __init__(self, outbox: TableName, stream: str) -> None:
        self._name = outbox.beside(TABLE)
        self._state = outbox.beside(STATE_TABLE)
        self._stream = stream

    async def latest(self, connection: DatabaseConnection) -> AdoptionRecord | None:
        """Returns the last adoption; None if there never was one."""
        if not await self._exists(connection):
            return None
        rows = await connection.execute(
            "SELECT source_epoch, floor, to_char(adopted_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),"
            f" published, lost_events, lost_aggregates, lost FROM {self._name.quoted} WHERE stream = %s"
            " ORDER BY source_epoch DESC LIMIT 1",
            [self._stream],
        )
        row = await rows.fetchone()
        if row is None:
            return None
        epoch, floor, adopted_at, published, events, aggregates, lost = row
        listed = [LostEvent(**one) for one in lost]
        return AdoptionRecord(epoch, floor, adopted_at, published, events, aggregates, listed)

    async def floor(self, connection: DatabaseConnection, source_epoch: int) -> int:
        """Returns the floor of the last adoption up to `source_epoch`; 0 if there was none."""
        if not await self._exists(connection):
            return 0
        rows = await connection.execute(
            f"SELECT floor FROM {self._name.quoted} WHERE stream = %s AND source_epoch <= %s"
            " ORDER BY source_epoch DESC LIMIT 1",
            [self._stream, source_epoch],
        )
        row = await rows.fetchone()
        return int(row[0]) if row is not None else 0

    async def _exists(self, connection: DatabaseConnection) -> bool:
        rows = await connection.execute("SELECT to_regclass(%s) IS NOT NULL", [self._name.plain])
        row = await rows.fetchone()
        return row is not None and bool(row[0])

    async def prepare(self, connection: DatabaseConnection) -> None:
        """Creates the table if it is missing. Roles that may read the relay's state may read it too.

        Raises Refused if our role may not create it.
        """
        try:
            async with making(connection, self._name):
                await connection.execute(f"CREATE TABLE IF NOT EXISTS {self._name.quoted} ({_COLUMNS})", prepare=False)
                readers = await connection.execute(
                    "SELECT DISTINCT a.grantee::regrole::text FROM pg_class c, aclexplode(c.relacl) a"
                    " WHERE c.oid = to_regclass(%s) AND a.privilege_type = 'SELECT' AND a.grantee <> 0",
                    [self._state.plain],
                )
                for (role,) in await readers.fetchall():  # regrole quotes what needs quotes
                    await connection.execute(f"GRANT SELECT ON {self._name.quoted} TO {role}")
        except psycopg.errors.InsufficientPrivilege:
            raise Refused(
                f"table {self._name} cannot be made: adopt as the owner of the outbox (RELAY_DATABASE_URL)"
            ) from None

    async def begin(self, connection: DatabaseConnection, source_epoch: int, floor: int) -> None:
        """Records the floor, in the transaction that raises the epoch."""
        await connection.execute(
            f"""INSERT INTO {self._name.quoted} AS record VALUES (%s, %s, %s, now(), 0, 0, 0, '[]')
                ON CONFLICT (stream, source_epoch) DO UPDATE SET floor = excluded.floor, adopted_at = now()""",
            [self._stream, source_epoch, floor],
        )

    async def found(
        self,
        connection: DatabaseConnection,
        source_epoch: int,
        *,
        published: int,
        lost_events: int,
        lost_aggregates: int,
        lost: Sequence[LostEvent],
    ) -> None:
        """Records the result of the comparison."""
        await connection.execute(
            f"UPDATE {self._name.quoted} SET published = %s, lost_events = %s, lost_aggregates = %s, lost = %s"
            " WHERE stream = %s AND source_epoch = %s",
            [published, lost_events, lost_aggregates, Json([asdict(one) for one in lost]), self._stream, source_epoch],
        )
