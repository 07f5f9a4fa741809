"""Reads events from the write-ahead log: in commit order, whole transactions, as soon as they are committed.

What the slot has sent stays in the log until the relay confirms it, and the relay confirms only checkpoints that the
stream has stored. So after any interruption, the server sends again everything after the last stored checkpoint. The
reader skips exactly what the stream's last cursor says is delivered: the transactions that committed before the
cursor's LSN, and the first events of the transaction that committed at that LSN.

**Checkpoints.** Twice a second the relay writes a message to the log that contains the snapshot of that moment. When
the relay reads the message, every transaction that the snapshot sees has been delivered, because its commit is earlier
in the log. Some delivered transactions may not be seen by the snapshot: those that committed between snapshot and
message, or whose commit still waits for a standby. The checkpoint lists their ids until a later snapshot sees them.
At a checkpoint, polling can take over without overlap or gap. A checkpoint also advances the slot. So a database whose
writes all go to other tables does not keep its log for the relay.
"""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from relay.events.cursor import WalCursor
from relay.events.errors import LogUnavailable
from relay.outbox.database import DatabaseConnection
from relay.outbox.publication import publication_state
from relay.wal.reader import WalReader
from relay.wal.replication_connection import ReplicationConnection
from relay.wal.slot import take_slot
from relay.wal.slot_creation import check_log
from relay.wal.tuple_decoder import TupleLayout


class WalSource:
    """Opens the slot that a cursor contains, for reading."""

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

    async def open(self, cursor: WalCursor, wake: Callable[[], None]) -> WalReader:
        """Begins to stream the slot of `cursor`, and returns the reader of the events after `cursor`.

        `wake` is called when something has arrived. Raises LogUnavailable if the slot cannot be read from there.
        """
        checkpoint = cursor.checkpoint
        await check_log(self._connection)
        await take_slot(self._connection, checkpoint.slot, checkpoint.lsn)
        if await publication_state(self._connection, self._publication) != checkpoint.publication:
            raise LogUnavailable(f"publication {self._publication} is not what it was at the last checkpoint")
        try:
            replication = await ReplicationConnection.open(self._url)
            try:
                await replication.start(checkpoint.slot, self._publication, wake)
            except BaseException:
                await replication.close()
                raise
        except psycopg.Error as error:
            raise LogUnavailable(f"slot {checkpoint.slot} cannot be read: {str(error).strip()}") from None
        return self._make_reader(cursor, self._layout, self._publication, self._connection, replication)
