"""The pool of connections that commands run on, set up the way the unit of work expects them."""

from __future__ import annotations

from typing import TypeAlias

from psycopg import AsyncRawCursor
from psycopg.types.numeric import Int8Dumper
from psycopg_pool import AsyncConnectionPool

from command_service.storage.command_connection import CommandConnection

APPLICATION_NAME = "tandem-command"
#: How long a command waits for a free connection before the service counts as overloaded.
ACQUIRE_SECONDS = 3.0
CONNECT_TIMEOUT_SECONDS = 5
#: A session whose process froze inside a transaction gives its locks back after this long.
IDLE_IN_TRANSACTION_SECONDS = 60
#: A machine that vanished is noticed within about this time, on idle connections too.
VANISHED_SECONDS = 15

CommandPool: TypeAlias = AsyncConnectionPool[CommandConnection]


def command_pool(database_url: str, *, size: int, max_waiting: int, statement_seconds: float) -> CommandPool:
    """An unopened pool of `size` connections; at most `max_waiting` callers wait for one.

    No statement, waiting for locks included, takes longer than `statement_seconds`.
    """

    async def configure(connection: CommandConnection) -> None:
        # One type for all integers: a prepared statement is not prepared anew for each size of number.
        connection.adapters.register_dumper(int, Int8Dumper)
        await connection.execute(
            "SELECT set_config('statement_timeout', $1, false),"
            " set_config('idle_in_transaction_session_timeout', $2, false), set_config('TimeZone', 'UTC', false)",
            (f"{round(statement_seconds * 1000)}ms", f"{IDLE_IN_TRANSACTION_SECONDS}s"),
        )

    return AsyncConnectionPool(
        database_url,
        connection_class=CommandConnection,
        kwargs={
            "autocommit": True,
            "cursor_factory": AsyncRawCursor,
            "application_name": APPLICATION_NAME,
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "keepalives_idle": VANISHED_SECONDS // 3,
            "keepalives_interval": VANISHED_SECONDS // 3,
            "keepalives_count": 2,
            "tcp_user_timeout": VANISHED_SECONDS * 1000,
        },
        min_size=size,
        max_size=size,
        max_waiting=max_waiting,
        timeout=ACQUIRE_SECONDS,
        # Give up soon: the next caller tries anew at once, a long series of attempts would pause for minutes.
        reconnect_timeout=ACQUIRE_SECONDS,
        configure=configure,
        open=False,
        name=APPLICATION_NAME,
    )
