"""Checks at the start that the database can keep the service's promises. Each problem says what to do about it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
from psycopg import AsyncConnection

from command_service.storage.connection.connections import CONNECT_TIMEOUT_SECONDS
from command_service.storage.connection.round_trip import Row
from command_service.storage.revision import required_revision
from service_runtime.error_text import in_one_line
from service_runtime.process import StartupRefused

OLDEST_SERVER = 15
MIGRATE = "run `python -m command_service migrate`"


async def check_database(database_url: str) -> None:
    """Raises StartupRefused, with one line per problem, when commands would not be safe on this database."""
    try:
        async with await AsyncConnection[Row].connect(
            database_url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_SECONDS
        ) as connection:
            problems = [problem async for problem in _problems(connection)]
    except psycopg.OperationalError as error:
        raise StartupRefused(unreachable(error)) from None
    if problems:
        raise StartupRefused("\n".join(problems))


def unreachable(error: psycopg.Error) -> str:
    """Returns one sentence that tells an operator why the database cannot be used. It contains no password."""
    return (
        f"the database of COMMAND_DATABASE_URL cannot be used ({in_one_line(error)}); start it or correct the setting"
    )


async def schema_problem(database_url: str) -> str | None:
    """Returns None if the database can be reached and has the schema that this version needs, otherwise why not."""
    try:
        async with await AsyncConnection[Row].connect(
            database_url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_SECONDS
        ) as connection:
            return await _schema_problem(connection)
    except psycopg.OperationalError as error:
        return unreachable(error)


async def _problems(connection: AsyncConnection[Row]) -> AsyncIterator[str]:
    major = connection.info.server_version // 10_000
    if major < OLDEST_SERVER:
        yield f"PostgreSQL {major} is too old, version {OLDEST_SERVER} or newer is needed; upgrade the server"
        return
    if await _value(connection, "SELECT pg_is_in_recovery()"):
        yield "the database is a standby and takes no commands; set COMMAND_DATABASE_URL to the primary"
        return
    for setting in ("fsync", "synchronous_commit"):
        if await _value(connection, f"SHOW {setting}") == "off":
            yield f"{setting} is off, so commands answered OK could be lost; set {setting} = on in PostgreSQL"
    if (problem := await _schema_problem(connection)) is not None:
        yield problem
        return
    cache = await _value(
        connection,
        "SELECT seqcache FROM pg_sequence WHERE seqrelid = pg_get_serial_sequence('outbox', 'position')::regclass",
    )
    if cache != 1:
        yield (
            f"the sequence of outbox.position caches {cache} values, so events of one order could swap places;"
            " run ALTER TABLE outbox ALTER COLUMN position SET CACHE 1"
        )
    if await _value(connection, "SELECT count(*) FROM source") != 1:
        yield "the table source, which names this database's incarnation, is empty; restore its one row"


async def _schema_problem(connection: AsyncConnection[Row]) -> str | None:
    needed = required_revision()
    if await _value(connection, "SELECT to_regclass('alembic_version') IS NULL"):
        return f"the database has no tables yet; {MIGRATE}"
    revision = await _value(connection, "SELECT version_num FROM alembic_version")
    if revision != needed:
        return f"the database is at schema revision {revision}, this version needs {needed}; {MIGRATE} of this version"
    return None


async def _value(connection: AsyncConnection[Row], statement: str) -> object:
    row = await (await connection.execute(statement)).fetchone()
    return None if row is None else row[0]
