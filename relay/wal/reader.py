"""Reads the messages of one slot: new events, events that are delivered already, and our checkpoints.

After any interruption, the server sends again everything after the last stored checkpoint. The reader skips exactly
what the stream's last cursor says is delivered: the transactions that committed before the cursor's LSN, and the first
events of the transaction that committed at that LSN.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import psycopg

from relay.events.cursor import Cursor, WalCheckpoint, WalCursor
from relay.events.errors import LogUnavailable
from relay.events.event import OutboxEvent
from relay.events.id_set import IdSet
from relay.events.lsn import lsn_text
from relay.events.snapshot import Snapshot
from relay.events.source import Batch, Checkpoint
from relay.outbox.database import DatabaseConnection
from relay.outbox.publication import STATE
from relay.wal.pgoutput import (
    BEGIN,
    COMMIT,
    IGNORED,
    INSERT,
    MESSAGE,
    RELATION,
    ProtocolError,
    read_begin,
    read_message,
    read_relation,
)
from relay.wal.replication_connection import HEADER, ReplicationConnection
from relay.wal.tuple_decoder import TupleDecoder, TupleLayout
from relay.wal.tuple_program import Read

#: The prefix of the messages that the reader writes to the log for checkpoints. Others may use it too.
MESSAGE_PREFIX = "tandem.cursor"
CHECKPOINT_SECONDS = 0.5
#: The longest wait for a message. A message that arrives ends the wait.
IDLE_SECONDS = 0.25
#: If more stored transactions than these would be listed, `covering` returns None.
MOST_COVERING = 20_000
_OID = slice(HEADER + 1, HEADER + 5)
_WHOLE = 1 << 62
#: No insert begins with these bytes, so no insert is decoded before its table is described.
_NO_TABLE = bytes(7)
#: From this version on a message can be flushed to disk at once. In earlier ones it arrives when the log is flushed for
#: others, or after 0.2 s.
_FLUSHING_VERSION = 170_000
# now() is when the statement arrived. Its snapshot is taken after that.
_EMIT = f"""
    SELECT pg_logical_emit_message(false, '{MESSAGE_PREFIX}', %(token)s || ';'
    || (extract(epoch FROM now()) * 1000000)::bigint || ';' || pg_current_snapshot()::text || ';' || {STATE}"""  # noqa: S608


class WalReader:
    """Reads the events after `cursor` from a replication session that streams the cursor's slot.

    It writes the messages for checkpoints over the leader's session, `connection`. Reading raises LogUnavailable if the
    slot cannot be read any more.
    """

    def __init__(
        self,
        cursor: WalCursor,
        layout: TupleLayout,
        publication: str,
        connection: DatabaseConnection,
        replication: ReplicationConnection,
    ) -> None:
        self.slot = cursor.checkpoint.slot
        self._connection = connection
        # The beginning of our messages' content. Others may write messages with our prefix, but do not know this token.
        self._token = secrets.token_hex(8)
        self._emit_due = 0.0
        self._layout = layout
        self._publication = publication
        self._replication = replication
        self._messages = replication.messages()
        self._epoch = cursor.epoch
        # Events up to here are delivered already, and are skipped.
        checkpoint = cursor.checkpoint
        self._resume_lsn, self._resume_index = cursor.commit_lsn, cursor.index
        self._passed = {one & 0xFFFFFFFF for one in checkpoint.transactions}
        # What has been read: everything up to `_cursor`, which is `_behind` events after the last checkpoint.
        # `_delivered` are the transactions that were read and that the checkpoint's snapshot does not see.
        self._base, self._cursor, self._behind = cursor.base, cursor, cursor.behind
        self._delivered = IdSet(checkpoint.transactions)
        # What is stored: everything at the first of `_checkpoints`, and the transactions `_stored_ids`. The later
        # checkpoints and the transactions `_unstored` (commit LSN, number of events, id) will be stored next, in order.
        self._checkpoints = deque([checkpoint])
        self._stored_ids = IdSet(checkpoint.transactions)
        self._unstored: deque[tuple[int, int, int]] = deque()
        # The transaction that arrives now: `_index` of its events have; the first `_skip` were delivered before.
        self._index, self._skip = 0, 0
        self._commit_lsn, self._commit_text, self._transaction = 0, "", 0
        # The bytes with which an insert into our table begins, and the function that decodes it.
        self._head = _NO_TABLE
        self._read_event: Read = _undescribed

    async def read(self, max_events: int, max_bytes: int) -> Batch:
        """Returns the events that have arrived, up to the next checkpoint and within the limits."""
        if time.monotonic() >= self._emit_due:
            await self._emit()
        try:
            return self._take(max_events, max_bytes)
        except psycopg.Error as error:
            raise LogUnavailable(f"the replication stream broke off: {str(error).strip()}") from None
        except ProtocolError as error:
            raise LogUnavailable(f"the replication stream cannot be read: {error}") from None

    def _take(self, max_events: int, max_bytes: int) -> Batch:
        events: list[OutboxEvent] = []
        marks: list[str] = []
        before, last = self._cursor, (0, 0, "", 0)
        reached: Checkpoint | None = None
        base, size, more = self._base, 0, True
        # A backlog is read mostly in this loop, so what an insert needs is kept in local variables.
        head, read, index, skip = self._head, self._read_event, self._index, self._skip
        lsn, commit, transaction, behind = self._commit_lsn, self._commit_text, str(self._transaction), self._behind
        for data in self._messages:
            if data is None:
                more = False
                break
            kind = data[HEADER]
            if kind != INSERT:
                if kind == BEGIN:
                    index, skip = 0, self._begin(data)
                    lsn, commit = self._commit_lsn, self._commit_text
                elif kind == COMMIT:
                    if index:
                        self._unstored.append((lsn, index, self._transaction))
                elif (reached := self._control(kind, data)) is not None:
                    break
                else:
                    head, read = self._head, self._read_event
                continue
            if not data.startswith(head, HEADER + 1):
                self._other_insert(data)
                continue
            index += 1
            if index <= skip and index > 1:
                continue
            event = read(data, HEADER)
            if index == 1:
                transaction = event.transaction_id
                self._transaction = int(transaction)
                self._delivered.add(self._transaction)
            if index > skip:
                events.append(event)
                behind += 1
                last = lsn, index, transaction, behind
                marks.append(f"{commit}:{index}:{transaction}:{behind}")
                size += len(data)
                if len(events) >= max_events or size >= max_bytes:
                    break
        self._index, self._skip = index, skip
        after = before
        if marks:
            lsn, index, transaction, behind = last
            after = WalCursor(self._epoch, before.checkpoint, lsn, index, int(transaction), behind)
        if reached is None:
            self._behind, self._cursor = behind, after
        return Batch(base, before, events, marks, after, reached, more)

    def stored(self, cursor: Cursor) -> None:
        """Confirms the checkpoint of a stored cursor to the server, and counts the transactions up to it as stored."""
        checkpoints = self._checkpoints
        # Nearly always the checkpoint is the first one. To compare them by value would take longer than the rest.
        if not isinstance(cursor, WalCursor) or (
            cursor.checkpoint is not checkpoints[0] and cursor.checkpoint not in checkpoints
        ):
            return
        stored = cursor.commit_lsn, cursor.index
        while self._unstored and self._unstored[0][:2] <= stored:
            self._stored_ids.add(self._unstored.popleft()[2])
        if checkpoints[0] is not cursor.checkpoint:
            while checkpoints[0] != cursor.checkpoint:
                checkpoints.popleft()
            self._stored_ids = IdSet(self._stored_ids.not_seen_by(checkpoints[0].snapshot))
        self._replication.confirm(checkpoints[0].lsn)

    def covering(self) -> tuple[Snapshot, Sequence[int]] | None:
        """Returns what the stream holds: all that a snapshot sees, and the listed transactions. None if too many."""
        if len(self._stored_ids) > MOST_COVERING:
            return None
        return self._checkpoints[0].snapshot, list(self._stored_ids)

    async def close(self) -> None:
        """Ends the stream; the slot stays."""
        await self._replication.close()

    async def _emit(self) -> None:
        """Writes a message to the log. When the reader receives the message, there is a checkpoint at its position."""
        self._emit_due = time.monotonic() + CHECKPOINT_SECONDS
        flushing = ", true)" if self._connection.info.server_version >= _FLUSHING_VERSION else ")"
        await self._connection.execute(_EMIT + flushing, {"token": self._token, "publication": self._publication})

    def _control(self, kind: int, data: bytes) -> Checkpoint | None:
        """Handles a message that is not begin, commit or insert. Returns the checkpoint if the message makes one."""
        if kind == MESSAGE:
            return self._message(data)
        if kind == RELATION:
            relation = read_relation(data, HEADER)
            if relation.oid == self._layout.oid:
                decoder = TupleDecoder(self._layout, relation)
                self._head, self._read_event = decoder.head, decoder.event
        elif kind not in IGNORED:
            raise ProtocolError(f"a message of kind {chr(kind)!r}")
        return None

    def _begin(self, data: bytes) -> int:
        """Handles the beginning of a transaction. Returns how many of its events are delivered already."""
        commit_lsn, transaction = read_begin(data, HEADER)
        self._commit_lsn, self._commit_text = commit_lsn, lsn_text(commit_lsn)
        if commit_lsn < self._resume_lsn or transaction in self._passed:
            return _WHOLE
        return self._resume_index if commit_lsn == self._resume_lsn else 0

    def _message(self, data: bytes) -> Checkpoint | None:
        """Returns the checkpoint at one of our messages; None for other messages, and for one that came too early."""
        message = read_message(data, HEADER)
        if message.prefix != MESSAGE_PREFIX or message.transactional:
            return None
        token, _, content = message.content.partition(b";")
        if token != self._token.encode():
            return None
        as_of, snapshot_text, state = content.decode().split(";")
        snapshot, old = Snapshot.parse(snapshot_text), self._cursor.checkpoint
        if message.lsn < self._cursor.commit_lsn or not snapshot.includes(old.snapshot):
            return None
        if state != old.publication:
            raise LogUnavailable(f"publication {self._publication} was changed or dropped")
        unseen = self._delivered.not_seen_by(snapshot)
        self._delivered = IdSet(unseen)
        checkpoint = replace(old, lsn=message.lsn, snapshot=snapshot, transactions=tuple(unseen))
        self._checkpoints.append(checkpoint)
        self._cursor, self._behind = new_cursor(self._epoch, checkpoint), 0
        self._base = self._cursor.base
        return Checkpoint(self._cursor, int(as_of))

    def _other_insert(self, data: bytes) -> None:
        """Ignores an insert into another table. Raises ProtocolError if it is one into our table, but malformed."""
        if self._head[:4] == data[_OID]:
            raise ProtocolError("a row with another number of columns than its table")


def _undescribed(data: bytes, at: int) -> OutboxEvent:
    raise ProtocolError("a row whose table was not described")


def new_cursor(epoch: int, checkpoint: WalCheckpoint) -> WalCursor:
    """Returns the cursor at a checkpoint, with no events delivered after it."""
    return WalCursor(epoch, checkpoint, checkpoint.lsn)
