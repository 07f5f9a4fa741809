"""Opens the relay's database sessions: autocommit, over TCP. Each side notices within seconds if the other is gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import sql

from relay.outbox.shut_out import refusal

#: One database session. It returns rows as tuples.
DatabaseConnection = psycopg.AsyncConnection[Any]

#: If a statement has no answer after this time, the session counts as broken.
STATEMENT_TIMEOUT_SECONDS = 20.0
_GONE_MILLISECONDS = 5_000
#: psycopg prepares a statement by itself after so many uses. The relay prepares only those that it says.
_NEVER_BY_ITSELF = 1_000_000_000


async def connect(url: str, application_name: str, *, session_timeout: int | None = None) -> DatabaseConnection:
    """Opens a session. Raises psycopg.Error if that fails, Refused if the server does not let the role in.

    With `session_timeout` (seconds) the server ends the session after that time if we send nothing, in or out of a
    transaction, or if we do not read a result.
    """
    try:
        connection = await psycopg.AsyncConnection.connect(
            url,
            autocommit=True,
            prepare_threshold=_NEVER_BY_ITSELF,
            connect_timeout=5,
            application_name=application_name,
            keepalives_idle=5,
            keepalives_interval=1,
            keepalives_count=3,
            tcp_user_timeout=_GONE_MILLISECONDS,
        )
    except psycopg.OperationalError as error:
        raise refusal(error) or error from None
    settings = {"timezone": "UTC", "client_connection_check_interval": "1s"}
    if session_timeout is not None:
        settings |= dict.fromkeys(
            ("idle_session_timeout", "idle_in_transaction_session_timeout", "tcp_user_timeout"), f"{session_timeout}s"
        )
    try:
        await configure(connection, settings)
    except BaseException:
        await connection.close()
        raise
    return connection


async def configure(connection: DatabaseConnection, settings: Mapping[str, str]) -> None:
    """Sets the session's settings, in one statement."""
    calls = sql.SQL(", ").join(
        sql.SQL("set_config({}, {}, false)").format(name, value) for name, value in settings.items()
    )
    await connection.execute(sql.SQL("SELECT {}").format(calls))
