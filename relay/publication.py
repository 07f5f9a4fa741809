"""The publication by which the log tells of the outbox's inserts: made when missing, and watched for changes.

A publication that changes while a slot is read makes the server leave out rows without a word. Its *state* changes with
every change of it, so each checkpoint tells in which state it was made.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from relay.errors import LogUnavailable
from relay.outbox_table import TableName

_LONGEST_NAME = 63

#: The state of a publication as an expression; `%(publication)s` is its name. Each change of a catalog row changes its
#: xmin, and each creation its oid.
STATE = """(
    SELECT coalesce(md5((SELECT p.oid || ':' || p.xmin || ':' || coalesce((
        SELECT string_agg(r.oid || ':' || r.xmin, ',' ORDER BY r.oid) FROM pg_publication_rel r WHERE r.prpubid = p.oid
    ), '') || ':' || coalesce((
        SELECT string_agg(n.oid || ':' || n.xmin, ',' ORDER BY n.oid) FROM pg_publication_namespace n
         WHERE n.pnpubid = p.oid
    ), '') FROM pg_publication p WHERE p.pubname = %(publication)s)), 'none'))"""


def publication_name(table: TableName) -> str:
    """The name used where none is configured."""
    return f"tandem_{table.name}"[:_LONGEST_NAME]


async def ensure_publication(connection: psycopg.AsyncConnection[Any], name: str, table: TableName) -> str:
    """The publication's state. Creates it when it is missing; LogUnavailable when it cannot be, or would not do."""
    if not await _exists(connection, name):
        statement = sql.SQL(
            "CREATE PUBLICATION {} FOR TABLE {} WITH (publish = 'insert', publish_via_partition_root = true)"
        ).format(sql.Identifier(name), sql.SQL(table.quoted.replace("%%", "%")))
        try:
            await connection.execute(statement)
        except psycopg.errors.DuplicateObject:
            pass  # a second relay was faster
        except psycopg.Error as error:
            raise LogUnavailable(
                f"publication {name} does not exist and cannot be created ({str(error).strip()}):"
                f" {statement.as_string()}"
            ) from None
    row = await (
        await connection.execute(
            f"""SELECT p.pubinsert, p.pubviaroot, c.relkind = 'p',
                       EXISTS (SELECT FROM pg_publication_tables t
                                WHERE t.pubname = p.pubname AND t.rowfilter IS NULL
                                  AND (t.schemaname, t.tablename) = (n.nspname, c.relname)),
                       EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = c.oid
                                  AND r.prattrs IS NOT NULL),
                       {STATE}
                  FROM pg_publication p, pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE p.pubname = %(publication)s AND c.oid = to_regclass(%(table)s)""",  # noqa: S608
            {"publication": name, "table": table.quoted.replace("%%", "%")},
        )
    ).fetchone()
    if row is None:
        raise LogUnavailable(f"publication {name} vanished right after it was found")
    inserts, via_root, partitioned, has_table, has_columns, state = row
    if not has_table or (partitioned and not via_root):
        raise LogUnavailable(
            f"publication {name} must publish table {table} without a row filter, with publish_via_partition_root:"
            f" drop it (DROP PUBLICATION {name}), then it is created as it must be"
        )
    if not inserts or has_columns:
        raise LogUnavailable(
            f"publication {name} must publish inserts of table {table} with all columns:"
            f" drop it (DROP PUBLICATION {name}), then it is created as it must be"
        )
    return str(state)


async def publication_state(connection: psycopg.AsyncConnection[Any], name: str) -> str:
    """The publication's state; `none` when it is missing."""
    row = await (await connection.execute(f"SELECT {STATE}", {"publication": name})).fetchone()
    assert row is not None
    return str(row[0])


async def _exists(connection: psycopg.AsyncConnection[Any], name: str) -> bool:
    row = await (
        await connection.execute("SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = %s)", [name])
    ).fetchone()
    return row is not None and bool(row[0])
