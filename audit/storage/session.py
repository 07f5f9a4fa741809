"""Opens sessions of the log's database. Each side notices within seconds if the other has vanished."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import psycopg

#: A database that has not answered for so long counts as broken.
ANSWER_SECONDS = 20.0
_CONNECT_SECONDS = 5
_GONE_MILLISECONDS = 5_000
#: Without this, the server would keep the lock of a notary whose machine has vanished for two hours.
_NOTICE_US = (
    "SELECT set_config('tcp_keepalives_idle', '5', false), set_config('tcp_keepalives_interval', '1', false),"
    " set_config('tcp_keepalives_count', '3', false), set_config('tcp_user_timeout', %s, false)"
)


async def open_session(database_url: str, name: str) -> psycopg.AsyncConnection:
    """Opens a session, in which each statement is a transaction. Raises psycopg.Error."""
    connection = await psycopg.AsyncConnection.connect(
        database_url,
        autocommit=True,
        connect_timeout=_CONNECT_SECONDS,
        application_name=name,
        keepalives_idle=5,
        keepalives_interval=1,
        keepalives_count=3,
        tcp_user_timeout=_GONE_MILLISECONDS,
    )
    try:
        async with answered_within(ANSWER_SECONDS, connection):
            await connection.execute(_NOTICE_US, [str(_GONE_MILLISECONDS)])
    except BaseException:
        await connection.close()
        raise
    return connection


@asynccontextmanager
async def answered_within(seconds: float, connection: psycopg.AsyncConnection) -> AsyncIterator[None]:
    """Breaks the connection if the statements of the block are not answered within so many seconds.

    Raises psycopg.OperationalError then.
    """
    silence = asyncio.get_running_loop().call_later(seconds, _hang_up, connection)
    try:
        yield
    except psycopg.Error:
        if asyncio.get_running_loop().time() < silence.when():
            raise
        raise psycopg.OperationalError(f"the log's database has not answered for {seconds:g} s") from None
    finally:
        silence.cancel()


def _hang_up(connection: psycopg.AsyncConnection) -> None:
    """Ends the connection without a word to the server, so that whoever waits for an answer goes on."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.pgconn.socket)) as line:
        line.shutdown(socket.SHUT_RDWR)
