"""Stores a lower bound of the stream's state in the database, every few seconds.

The relay's position is in the stream. The row in the database shows two things that the stream cannot show: that it is
another stream than before, or that it has lost its end. Either is a *loss*. After a loss, message ids get a new publish
epoch, because the server may still refuse the old ids as duplicates. The relay resumes after the last message that the
stream still has, or from the first row of the outbox if the stream is empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from relay.events.cursor import Cursor, CursorError, parse, read_cursor, resolve
from relay.events.tail import Orphan, Tail
from relay.outbox.bookkeeping import STATE_TABLE
from relay.outbox.database import DatabaseConnection
from relay.outbox.table import TableName


@dataclass(frozen=True, slots=True)
class StateRow:
    """The row of one stream.

    `created` is when the stream was created. The stream had stored everything up to `last_sequence` and `cursor` when
    the row was written. `cursor` is None if nothing is known to be delivered.
    """

    created: datetime
    publish_epoch: int
    last_sequence: int
    cursor: Cursor | None


@dataclass(frozen=True, slots=True)
class Resumption:
    """Where a session resumes, and with which publish epoch.

    `cursor` None stands for the beginning. `loss` says in one sentence what was lost; None if nothing was.
    """

    cursor: Cursor | None
    publish_epoch: int
    loss: str | None


def resumption(row: StateRow | None, tail: Tail) -> Resumption:
    """Decides where to resume, from the stored row (None without one) and the stream's end."""
    if row is None:
        return Resumption(tail.cursor, 1, None)
    if row.created != tail.created:
        loss = f"the stream of {row.created.isoformat()} was replaced by one of {tail.created.isoformat()}"
        return Resumption(tail.cursor, row.publish_epoch + 1, loss)
    if tail.last_sequence < row.last_sequence:
        loss = f"the stream ends at {tail.last_sequence} and had {row.last_sequence}"
        return Resumption(tail.cursor, row.publish_epoch + 1, loss)
    if tail.cursor is not None:
        return Resumption(tail.cursor, row.publish_epoch, None)
    if tail.orphan is not None and (cursor := _completed(tail.orphan, row)) is not None:
        return Resumption(cursor, row.publish_epoch, None)
    # All our messages have expired from an unchanged stream, or the rest will within seconds: resume from the row.
    return Resumption(row.cursor, row.publish_epoch, None)


def _completed(orphan: Orphan, row: StateRow) -> Cursor | None:
    """Returns the cursor of a message whose barrier has aged out, with the base that the row has.

    The message names the last barrier before it. So if the row was written after that barrier was stored, it has the
    base of that barrier. Returns None if the row is older.
    """
    if row.cursor is None or row.last_sequence < orphan.barrier:
        return None
    try:
        return parse(resolve(orphan.text, row.cursor.text))
    except CursorError:
        return None


class RelayState:
    """Reads and writes the row of one stream."""

    def __init__(self, outbox: TableName, stream: str) -> None:
        self._table = outbox.beside(STATE_TABLE).quoted
        self._stream = stream

    async def load(self, connection: DatabaseConnection) -> StateRow | None:
        """Returns the row; None if there is none."""
        cursor = await connection.execute(
            f"SELECT stream_created_at, publish_epoch, last_sequence, cursor FROM {self._table} WHERE stream = %s",  # noqa: S608
            [self._stream],
        )
        row = await cursor.fetchone()
        if row is None:
            return None
        created, publish_epoch, last_sequence, text = row
        return StateRow(created, publish_epoch, last_sequence, read_cursor(text) if text is not None else None)

    async def save(self, connection: DatabaseConnection, row: StateRow) -> None:
        """Writes the row."""
        text = row.cursor.text if row.cursor is not None else None
        await connection.execute(
            f"""INSERT INTO {self._table} AS state
                    (stream, stream_created_at, publish_epoch, last_sequence, cursor, updated_at)
                VALUES (%s, %s, %s, %s, %s, now())
                ON CONFLICT (stream) DO UPDATE SET stream_created_at = excluded.stream_created_at,
                    publish_epoch = excluded.publish_epoch, last_sequence = excluded.last_sequence,
                    cursor = excluded.cursor, updated_at = excluded.updated_at""",  # noqa: S608
            [self._stream, row.created, row.publish_epoch, row.last_sequence, text],
        )
