"""Events from the write-ahead log: in commit order, whole transactions, as soon as they are committed.

What the slot has sent stays in the log until we confirm it, and we confirm only what a stored message carries. So after
any end the server sends again everything behind the last stored checkpoint, and we pass over exactly what the stream's
last cursor says is delivered: the transactions that committed before its LSN, and the first events of the one that
committed there.

**Checkpoints.** Twice a second a message of our own is written to the log, with the snapshot of that moment. When it
comes back to us, every transaction that the snapshot sees has been delivered: its commit stands before the message.
Delivered and not seen may be those that committed between snapshot and message, or whose commit still waits for a
standby; their ids are kept beside the snapshot until a later one sees them. By a checkpoint polling can take over
without overlap or gap; and as it moves the slot on, a database that writes to other tables only never holds its log
back for us.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import psycopg

from relay.events.cursor import Cursor, WalCursor
from relay.events.errors import LogUnavailable
from relay.events.snapshot import Snapshot
from relay.events.source import Batch, Mode
from relay.outbox.database import DatabaseConnection
from relay.outbox.publication import STATE, publication_state
from relay.wal.pgoutput import ProtocolError
from relay.wal.reader import MESSAGE_PREFIX, WalReader
from relay.wal.replication_connection import ReplicationConnection
from relay.wal.slot import take_slot
from relay.wal.slot_creation import check_log
from relay.wal.tuple_decoder import TupleLayout

CHECKPOINT_SECONDS = 0.5
#: The longest wait for an arrival; what arrives ends it.
IDLE_SECONDS = 0.25
#: From here on a message can be flushed at once; before, it comes when the log is written for others, or after 0.2 s.
_FLUSHING_VERSION = 170_000
# now() is when the statement arrived, before its snapshot was taken.
_EMIT = f"""
    SELECT pg_logical_emit_message(false, '{MESSAGE_PREFIX}', %(token)s || ';'
    || (extract(epoch FROM now()) * 1000000)::bigint || ';' || pg_current_snapshot()::text || ';' || {STATE}"""  # noqa: S608


class WalSource:
    """Streams one slot at a time. Checkpoints are written over the leader's session. LogUnavailable: the slot cannot be
    read."""

    mode = Mode("wal")

    def __init__(
        self,
        layout: TupleLayout,
        connection: DatabaseConnection,
        url: str,
        publication: str,
        make_reader: type[WalReader] = WalReader,
    ) -> None:
        self._layout = layout
        self._connection = connection
        self._url = url
        self._publication = publication
        self._make_reader = make_reader
        self._reader: WalReader | None = None
        self._emit_due = 0.0
        self._wake: Callable[[], None] = lambda: None

    async def resume(self, cursor: Cursor) -> None:
        """Streams the slot that the cursor names, behind the cursor."""
        assert isinstance(cursor, WalCursor)
        await self.close()
        checkpoint = cursor.checkpoint
        await check_log(self._connection)
        await take_slot(self._connection, checkpoint.slot, checkpoint.lsn)
        if await publication_state(self._connection, self._publication) != checkpoint.publication:
            raise LogUnavailable(f"publication {self._publication} is not what it was at the last checkpoint")
        try:
            replication = await ReplicationConnection.open(self._url)
            self._reader = self._make_reader(cursor, self._layout, self._publication, replication)
            await replication.start(checkpoint.slot, self._publication, lambda: self._wake())
        except psycopg.Error as error:
            await self.close()
            raise LogUnavailable(f"slot {checkpoint.slot} cannot be read: {str(error).strip()}") from None
        self._emit_due = 0.0

    async def read(self, max_events: int, max_bytes: int) -> Batch:
        """What has arrived, up to the next checkpoint."""
        reader = self._reader
        if reader is None:
            raise LogUnavailable("no slot is streamed")
        if time.monotonic() >= self._emit_due:
            self._emit_due = time.monotonic() + CHECKPOINT_SECONDS
            flushing = ", true)" if self._connection.info.server_version >= _FLUSHING_VERSION else ")"
            await self._connection.execute(_EMIT + flushing, {"token": reader.token, "publication": self._publication})
        try:
            return reader.take(max_events, max_bytes)
        except psycopg.Error as error:
            raise LogUnavailable(f"the replication stream broke off: {str(error).strip()}") from None
        except ProtocolError as error:
            raise LogUnavailable(f"the replication stream cannot be read: {error}") from None

    def stored(self, cursor: Cursor) -> None:
        """Confirms what need not be sent again."""
        if self._reader is not None:
            self._reader.stored(cursor)

    def covering(self) -> tuple[Snapshot, Sequence[int]] | None:
        """As the reader has it."""
        return self._reader.covering() if self._reader is not None else None

    def idle_seconds(self) -> float:
        """An arrival ends the wait earlier."""
        return IDLE_SECONDS

    def notify(self, wake: Callable[[], None]) -> None:
        """`wake` is called when something has arrived."""
        self._wake = wake

    async def close(self) -> None:
        """Ends the stream; the slot stays."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()
