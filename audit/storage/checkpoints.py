"""Reads and writes the rows of signed checkpoints."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

import psycopg

#: Checkpoints that are read at once.
_TOGETHER = 1_000


class StoredCheckpoint(NamedTuple):
    """A signed checkpoint. `cosigned` is the note with the witness's signature, None until the witness has signed."""

    size: int
    note: str
    cosigned: str | None

    @property
    def best_note(self) -> str:
        """The note with the most signatures."""
        return self.cosigned or self.note


async def write(connection: psycopg.AsyncConnection, size: int, note: str) -> None:
    """Writes a checkpoint that the log has signed."""
    await connection.execute("INSERT INTO audit_checkpoint (size, note) VALUES (%s, %s)", [size, note])


async def write_cosigned(connection: psycopg.AsyncConnection, size: int, note: str) -> None:
    """Adds the witness's signature to a checkpoint."""
    await connection.execute("UPDATE audit_checkpoint SET cosigned = %s WHERE size = %s", [note, size])


async def ascending(connection: psycopg.AsyncConnection, up_to: int) -> AsyncIterator[StoredCheckpoint]:
    """Yields the checkpoints of at most `up_to` leaves, smallest first."""
    after = 0
    while True:
        found = await connection.execute(
            "SELECT size, note, cosigned FROM audit_checkpoint WHERE size > %s AND size <= %s ORDER BY size LIMIT %s",
            [after, up_to, _TOGETHER],
        )
        rows = await found.fetchall()
        for row in rows:
            yield StoredCheckpoint(*row)
        if len(rows) < _TOGETHER:
            return
        after = rows[-1][0]


async def newest(
    connection: psycopg.AsyncConnection, *, cosigned: bool = False, up_to: int | None = None
) -> StoredCheckpoint | None:
    """Returns the newest checkpoint, or the newest that the witness has signed; with `up_to` not larger than that."""
    found = await connection.execute(
        "SELECT size, note, cosigned FROM audit_checkpoint WHERE (NOT %s OR cosigned IS NOT NULL)"
        " AND (%s::bigint IS NULL OR size <= %s::bigint) ORDER BY size DESC LIMIT 1",
        [cosigned, up_to, up_to],
    )
    row = await found.fetchone()
    return None if row is None else StoredCheckpoint(*row)
