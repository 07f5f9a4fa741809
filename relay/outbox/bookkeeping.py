"""Creates the two small tables that the relay keeps in the outbox's schema, if they are missing."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import psycopg

from relay.outbox.database import DatabaseConnection
from relay.outbox.table import TableName

STATE_TABLE = "relay_state"
PARKED_TABLE = "outbox_parked"

#: The columns of the tables that the relay creates.
CREATED = {
    STATE_TABLE: (
        "stream text PRIMARY KEY, stream_created_at timestamptz, publish_epoch bigint, last_sequence bigint,"
        " cursor text, updated_at timestamptz"
    ),
    PARKED_TABLE: (
        "position bigint PRIMARY KEY, aggregate_type text, aggregate_id text, aggregate_version bigint, reason text,"
        " parked_at timestamptz"
    ),
}


def creation(table: TableName) -> str:
    """Returns the statement that creates a table of `CREATED`."""
    return f"CREATE TABLE IF NOT EXISTS {table.plain} ({CREATED[table.name]})"


async def ensure_tables(connection: DatabaseConnection, outbox: TableName) -> None:
    """Creates the missing tables in the outbox's schema. `rights` has checked before that the role may."""
    for table in CREATED:
        name = outbox.beside(table)
        found = await (await connection.execute("SELECT to_regclass(%s) IS NOT NULL", [name.plain])).fetchone()
        if found is not None and found[0]:
            continue
        try:
            await connection.execute(creation(name), prepare=False)
        except (psycopg.errors.UniqueViolation, psycopg.errors.DuplicateTable):
            continue  # a second relay was faster


@contextlib.asynccontextmanager
async def making(connection: DatabaseConnection, table: TableName) -> AsyncIterator[None]:
    """Runs the block, which creates that table or grants rights on it, in a transaction.

    Two such transactions for the same table would fail, so the second waits for the first.
    """
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [table.quoted])
        yield
