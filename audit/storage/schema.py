"""Brings the log's tables to what this version needs. Migrations only go forward."""

from __future__ import annotations

from importlib.resources import files

import psycopg

from service_runtime.error_text import in_one_line
from service_runtime.process import StartupRefused

#: The SQL files, in the order in which they are applied.
MIGRATIONS = ("0001_log.sql",)
_LOCK = 0x7461_6E64_656D_0063
_CONNECT_SECONDS = 10


async def migrate(database_url: str) -> tuple[int, int]:
    """Applies the missing migrations, after waiting for another process that migrates.

    Returns how many were applied before and are now. Raises StartupRefused when the database cannot be used.
    """
    try:
        async with await psycopg.AsyncConnection.connect(
            database_url, connect_timeout=_CONNECT_SECONDS, application_name="tandem-audit-migrate"
        ) as connection:
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            await connection.execute("CREATE TABLE IF NOT EXISTS audit_schema (migrations integer NOT NULL)")
            before = await applied(connection) or 0
            if not before:
                await connection.execute(
                    "INSERT INTO audit_schema SELECT 0 WHERE NOT EXISTS (SELECT FROM audit_schema)"
                )
            for name in MIGRATIONS[before:]:
                text = files("audit.storage").joinpath(name).read_text(encoding="utf-8")
                await connection.execute(text.encode())
            await connection.execute("UPDATE audit_schema SET migrations = %s", [max(before, len(MIGRATIONS))])
            return before, max(before, len(MIGRATIONS))
    except psycopg.Error as error:
        raise StartupRefused(
            f"the database of AUDIT_DATABASE_URL cannot be used ({in_one_line(error)}); start it or correct the setting"
        ) from None


async def schema_problem(connection: psycopg.AsyncConnection) -> str | None:
    """Returns why this version cannot use the tables; None if it can. Raises psycopg.Error."""
    found = await connection.execute("SELECT to_regclass('audit_schema')")
    row = await found.fetchone()
    count = await applied(connection) if row is not None and row[0] is not None else 0
    if (count or 0) < len(MIGRATIONS):
        return "the log's tables are missing or of an older version; run `python -m audit migrate`"
    return None


async def applied(connection: psycopg.AsyncConnection) -> int | None:
    """Returns how many migrations the tables have; None before the first."""
    row = await (await connection.execute("SELECT migrations FROM audit_schema")).fetchone()
    return None if row is None else int(row[0])
