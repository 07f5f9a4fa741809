"""Checks the rights of the relay's role, and reports all missing ones at once, each with the statement that grants it.

The check reads the catalogue and does not try the rights, so it also finds, at the start, rights that are needed later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from relay.events.errors import Refused
from relay.outbox.adoption_record import TABLE as ADOPTION_TABLE
from relay.outbox.bookkeeping import CREATED, PARKED_TABLE, STATE_TABLE, creation
from relay.outbox.database import DatabaseConnection
from relay.outbox.publication import creation as publication_creation
from relay.outbox.request_table import REQUEST_TABLE
from relay.outbox.source_identity import COLUMNS as SOURCE_COLUMNS
from relay.outbox.table import TableName

#: Functions of the server that every leader calls. On a hardened server, PUBLIC may have lost the right to call them.
_FUNCTIONS = ("pg_control_system", "pg_current_wal_lsn", "pg_walfile_name")
#: Each of these rights allows a session to lock a table against writers.
_LOCKING = ("UPDATE", "DELETE", "TRUNCATE")


@dataclass(frozen=True, slots=True)
class Need:
    """Rights that the role needs on a table.

    `columns` are the columns that are used; all if empty. With `any_of`, one of the rights is enough. The rights are
    not needed if the table `where` is given and does not exist.
    """

    table: TableName
    rights: Sequence[str]
    columns: Sequence[str] = ()
    any_of: bool = False
    where: TableName | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """A right that the role lacks, and the SQL that grants it."""

    right: str
    remedy: str


def publishing_needs(outbox: TableName, source: TableName) -> list[Need]:
    """Returns the rights that a relay needs to publish."""
    requests, parked = outbox.beside(REQUEST_TABLE), outbox.beside(PARKED_TABLE)
    return [
        Need(outbox, ("SELECT",)),
        Need(source, ("SELECT",), SOURCE_COLUMNS),
        Need(outbox.beside(STATE_TABLE), ("SELECT", "INSERT", "UPDATE")),
        Need(parked, ("SELECT", "INSERT")),
        Need(parked, ("DELETE",), where=requests),
        Need(requests, ("SELECT", "UPDATE")),
        Need(outbox.beside(ADOPTION_TABLE), ("SELECT",)),
    ]


def adopting_needs(outbox: TableName, source: TableName) -> list[Need]:
    """Returns all rights that an adoption needs, except those on its record, which it creates itself."""
    return [*publishing_needs(outbox, source), Need(outbox, _LOCKING, any_of=True), Need(source, ("UPDATE",))]


async def require_rights(connection: DatabaseConnection, needs: Sequence[Need], others: Sequence[Missing] = ()) -> None:
    """Raises Refused if the session's role lacks a right. The message lists all missing rights, and `others`."""
    role = await _role(connection)
    missing = await _functions(connection, role)
    for need in needs:
        missing += await _missing(connection, need, role)
    missing += others
    if missing:
        rights, remedies = dict.fromkeys(one.right for one in missing), dict.fromkeys(one.remedy for one in missing)
        raise Refused(f"role {role} lacks {', '.join(rights)}; let its owner run: {'; '.join(remedies)}")


async def missing_to_read_log(connection: DatabaseConnection, outbox: TableName, publication: str) -> list[Missing]:
    """Returns the rights for reading the log that the role lacks: to replicate, and to create a missing publication."""
    role, table = await _role(connection), await _find(connection, outbox)
    may_replicate, may_publish = await _row(
        connection,
        "SELECT rolsuper OR rolreplication, EXISTS (SELECT FROM pg_publication WHERE pubname = %s)"
        " OR has_database_privilege(current_database(), 'CREATE')"
        " AND (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = %s::oid)"
        " FROM pg_roles WHERE rolname = current_user",
        [publication, table.oid if table is not None else None],
    )
    missing = []
    if not may_replicate:
        missing.append(Missing("REPLICATION", f"ALTER ROLE {role} REPLICATION"))
    if may_publish is False:
        right = f"the right to make publication {publication} (to own table {outbox}, CREATE on the database)"
        missing.append(Missing(right, publication_creation(publication, outbox)))
    return missing


async def missing_to_compare(connection: DatabaseConnection) -> list[Missing]:
    """Returns the right that the role lacks to compare outbox and stream: to create temporary tables."""
    may_make, database = await _row(
        connection,
        "SELECT has_database_privilege(current_database(), 'TEMPORARY'), quote_ident(current_database())",
    )
    if may_make:
        return []
    role = await _role(connection)
    return [Missing(f"TEMPORARY on database {database}", f"GRANT TEMPORARY ON DATABASE {database} TO {role}")]


@dataclass(frozen=True, slots=True)
class _Table:
    """A table in the catalogue. `usable` says whether the role may use its schema."""

    oid: int
    schema: str
    usable: bool


async def _find(connection: DatabaseConnection, name: TableName) -> _Table | None:
    """Returns the table that `name` means; None if there is none.

    Also finds a table whose schema the role may not use. `to_regclass` would skip that table, or raise an error.
    """
    rows = await connection.execute(
        """WITH path AS (SELECT replace(trim(BOTH ' "' FROM one), '$user', current_user) AS schema
                           FROM unnest(string_to_array(current_setting('search_path'), ',')) AS one)
           SELECT c.oid::bigint, quote_ident(nspname), has_schema_privilege(n.oid, 'USAGE') AS usable
             FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
            WHERE relname = %(name)s AND relkind IN ('r', 'p')
              AND CASE WHEN %(schema)s::text IS NULL
                  THEN pg_table_is_visible(c.oid)
                       OR nspname IN (SELECT schema FROM path) AND NOT has_schema_privilege(n.oid, 'USAGE')
                  ELSE nspname = %(schema)s::text END
            ORDER BY usable DESC LIMIT 1""",
        {"name": name.name, "schema": name.schema},
    )
    row = await rows.fetchone()
    return _Table(*row) if row is not None else None


async def _missing(connection: DatabaseConnection, need: Need, role: str) -> list[Missing]:
    if need.where is not None and await _find(connection, need.where) is None:
        return []
    table = await _find(connection, need.table)
    if table is None:
        return await _missing_to_create(connection, need, role)
    hides_rows, lacked = await _row(
        connection,
        """SELECT row_security_active(%(table)s::oid), ARRAY(
               SELECT one FROM unnest(%(rights)s::text[]) WITH ORDINALITY AS r(one, number)
                WHERE NOT has_table_privilege(%(table)s::oid, one) AND (
                      one NOT IN ('SELECT', 'INSERT', 'UPDATE') OR %(any_of)s::boolean OR EXISTS (
                      SELECT FROM pg_attribute WHERE attrelid = %(table)s::oid AND attnum > 0 AND NOT attisdropped
                         AND (%(columns)s::text[] = '{}' OR attname = ANY(%(columns)s::text[]))
                         AND NOT has_column_privilege(%(table)s::oid, attnum, one)))
                ORDER BY number)""",
        {"table": table.oid, "rights": list(need.rights), "columns": list(need.columns), "any_of": need.any_of},
    )
    missing = []
    if not table.usable:
        missing.append(Missing(f"USAGE on schema {table.schema}", f"GRANT USAGE ON SCHEMA {table.schema} TO {role}"))
    if need.any_of:
        lacked = lacked[:1] if len(lacked) == len(need.rights) else []
    if lacked:
        rights = ", ".join(lacked)
        missing.append(Missing(f"{rights} on table {need.table}", f"GRANT {rights} ON {need.table.plain} TO {role}"))
    if hides_rows:
        right = f"BYPASSRLS (row-level security would hide rows of table {need.table})"
        missing.append(Missing(right, f"ALTER ROLE {role} BYPASSRLS"))
    return missing


async def _missing_to_create(connection: DatabaseConnection, need: Need, role: str) -> list[Missing]:
    """Returns the right that the role lacks to create a missing table, if the relay creates that table itself."""
    if need.table.name not in CREATED:
        return []
    rows = await connection.execute(
        "SELECT quote_ident(nspname), has_schema_privilege(oid, 'CREATE') FROM pg_namespace"
        " WHERE nspname = coalesce(%s::text, current_schema())",
        [need.table.schema],
    )
    row = await rows.fetchone()
    if row is None or row[1]:
        return []
    grant = f"GRANT {', '.join(need.rights)} ON {need.table.plain} TO {role}"
    right = f"CREATE on schema {row[0]} (table {need.table} is missing)"
    return [Missing(right, f"{creation(need.table)}; {grant}")]


async def _functions(connection: DatabaseConnection, role: str) -> list[Missing]:
    rows = await connection.execute(
        "SELECT oid::regprocedure::text FROM pg_proc WHERE proname = ANY(%s)"
        " AND pronamespace = 'pg_catalog'::regnamespace AND NOT has_function_privilege(oid, 'EXECUTE') ORDER BY 1",
        [list(_FUNCTIONS)],
    )
    return [
        Missing(f"EXECUTE on function {function}", f"GRANT EXECUTE ON FUNCTION {function} TO {role}")
        for (function,) in await rows.fetchall()
    ]


async def _role(connection: DatabaseConnection) -> str:
    return str((await _row(connection, "SELECT quote_ident(current_user)"))[0])


async def _row(connection: DatabaseConnection, statement: str, parameters: Any = None) -> tuple[Any, ...]:
    row = await (await connection.execute(statement, parameters)).fetchone()
    assert row is not None
    return tuple(row)
