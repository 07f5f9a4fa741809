"""Creates the publication by which the log reports the outbox's inserts, and watches it for changes.

If a publication changes while a slot is read, the server may leave out rows without an error. The *state* is a text
that changes with every change of the publication. Each checkpoint records the state that the publication had then.
"""

from __future__ import annotations

import hashlib

import psycopg
from psycopg import sql

from relay.events.errors import LogUnavailable
from relay.outbox.database import DatabaseConnection
from relay.outbox.table import TableName

_LONGEST_NAME = 63

#: The SQL expression for the state of the publication named `%(publication)s`. Each change of a row in the catalogue
#: gives that row a new xmin, and each creation a new oid.
STATE = """(
    SELECT coalesce(md5((SELECT p.oid || ':' || p.xmin || ':' || coalesce((
        SELECT string_agg(r.oid || ':' || r.xmin, ',' ORDER BY r.oid) FROM pg_publication_rel r WHERE r.prpubid = p.oid
    ), '') || ':' || coalesce((
        SELECT string_agg(n.oid || ':' || n.xmin, ',' ORDER BY n.oid) FROM pg_publication_namespace n
         WHERE n.pnpubid = p.oid
    ), '') FROM pg_publication p WHERE p.pubname = %(publication)s)), 'none'))"""


def publication_name(schema: str, table: str) -> str:
    """Returns the default name of a table's publication. Each table of a database gets another one.

    Publications are in no schema, so outside the schema public the name has a digest of schema and table.
    """
    name = f"tandem_{table}"
    if schema == "public" and len(name.encode()) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(f"{schema}\0{table}".encode()).hexdigest()[:8]
    return f"{name.encode()[: _LONGEST_NAME - len(digest) - 1].decode(errors='ignore')}_{digest}"


async def default_publication(connection: DatabaseConnection, table: TableName) -> str:
    """Returns the default name for the table that `table` means in this session."""
    rows = await connection.execute(
        "SELECT nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE relname = %s AND pg_table_is_visible(c.oid)",
        [table.name],
    )
    found = await rows.fetchone()
    return publication_name(table.schema or (found[0] if found is not None else "public"), table.name)


def creation(name: str, table: TableName) -> str:
    """Returns the statement that creates the publication."""
    return (
        f"CREATE PUBLICATION {sql.Identifier(name).as_string()} FOR TABLE {table.plain}"
        " WITH (publish = 'insert', publish_via_partition_root = true)"
    )


async def ensure_publication(connection: DatabaseConnection, name: str, table: TableName) -> str:
    """Creates the publication if it is missing, and returns its state.

    Raises LogUnavailable if it cannot be created, or if it does not publish what the relay needs.
    """
    if not await _exists(connection, name):
        statement = creation(name, table)
        try:
            await connection.execute(statement)
        except psycopg.errors.DuplicateObject:
            pass  # a second relay was faster
        except psycopg.Error as error:
            raise LogUnavailable(
                f"publication {name} does not exist and cannot be created ({str(error).strip()}): {statement}"
            ) from None
    row = await (
        await connection.execute(
            f"""SELECT p.pubinsert, p.pubviaroot, c.relkind = 'p',
                       EXISTS (SELECT FROM pg_publication_tables t
                                WHERE t.pubname = p.pubname AND t.rowfilter IS NULL
                                  AND (t.schemaname, t.tablename) = (n.nspname, c.relname)),
                       EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = c.oid
                                  AND r.prattrs IS NOT NULL),
                       EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid <> c.oid),
                       {STATE}
                  FROM pg_publication p, pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE p.pubname = %(publication)s AND c.oid = to_regclass(%(table)s)""",  # noqa: S608
            {"publication": name, "table": table.plain},
        )
    ).fetchone()
    if row is None:
        raise LogUnavailable(f"publication {name} vanished right after it was found")
    inserts, via_root, partitioned, has_table, has_columns, has_others, state = row
    if has_others and not has_table:
        raise LogUnavailable(
            f"publication {name} publishes other tables and not {table}: set RELAY_PUBLICATION to a name of its own"
        )
    if not has_table or (partitioned and not via_root):
        raise LogUnavailable(
            f"publication {name} must publish table {table} without a row filter, with publish_via_partition_root:"
            f" drop it (DROP PUBLICATION {sql.Identifier(name).as_string()}), then it is created as it must be"
        )
    if not inserts or has_columns:
        raise LogUnavailable(
            f"publication {name} must publish inserts of table {table} with all columns:"
            f" drop it (DROP PUBLICATION {sql.Identifier(name).as_string()}), then it is created as it must be"
        )
    return str(state)


async def publication_state(connection: DatabaseConnection, name: str) -> str:
    """Returns the publication's state; the text `none` if there is no such publication."""
    row = await (await connection.execute(f"SELECT {STATE}", {"publication": name})).fetchone()
    assert row is not None
    return str(row[0])


async def _exists(connection: DatabaseConnection, name: str) -> bool:
    row = await (
        await connection.execute("SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = %s)", [name])
    ).fetchone()
    return row is not None and bool(row[0])
