"""Reads and writes up to which message the stream was read."""

from __future__ import annotations

from typing import NamedTuple

import psycopg


class Position(NamedTuple):
    """The last message that was read: its sequence in a stream that was created at that time (µs since 1970)."""

    stream_created_at: int
    sequence: int


async def read(connection: psycopg.AsyncConnection, stream: str) -> Position:
    """Returns the position in a stream; zeros before the first message."""
    found = await connection.execute(
        "SELECT stream_created_at, sequence FROM audit_position WHERE stream = %s", [stream]
    )
    row = await found.fetchone()
    return Position(0, 0) if row is None else Position(*row)


async def write(connection: psycopg.AsyncConnection, stream: str, position: Position) -> None:
    """Writes the position, in the connection's transaction."""
    await connection.execute(
        "INSERT INTO audit_position VALUES (%s, %s, %s) ON CONFLICT (stream) DO UPDATE"
        " SET stream_created_at = excluded.stream_created_at, sequence = excluded.sequence",
        [stream, *position],
    )
