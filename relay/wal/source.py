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

import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

import psycopg

from relay.events.cursor import Cursor, WalCheckpoint, WalCursor
from relay.events.errors import LogUnavailable
from relay.events.event import OutboxEvent
from relay.events.id_set import IdSet
from relay.events.lsn import lsn_text, parse_lsn
from relay.events.snapshot import Snapshot
from relay.events.source import Batch, Checkpoint, Mode
from relay.outbox.database import DatabaseConnection
from relay.outbox.publication import STATE, publication_state
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
from relay.wal.slot import take_slot
from relay.wal.slot_creation import check_log
from relay.wal.tuple_decoder import TupleDecoder, TupleLayout
from relay.wal.tuple_program import Read

CHECKPOINT_SECONDS = 0.5
#: The longest wait for an arrival; what arrives ends it.
IDLE_SECONDS = 0.25
MESSAGE_PREFIX = "tandem.cursor"
#: More transactions than these are not listed for those who measure the lag.
MOST_COVERING = 20_000
_OID = slice(HEADER + 1, HEADER + 5)
_WHOLE = 1 << 62
#: No insert begins with it, so none is read before its table is described.
_NO_TABLE = bytes(7)

#: From here on a message can be flushed at once; before, it comes when the log is written for others, or after 0.2 s.
_FLUSHING_VERSION = 170_000
# now() is when the statement arrived, before its snapshot was taken.
_EMIT = f"""
    SELECT pg_logical_emit_message(false, '{MESSAGE_PREFIX}', %(token)s || ';'
    || (extract(epoch FROM now()) * 1000000)::bigint || ';' || pg_current_snapshot()::text || ';' || {STATE}"""  # noqa: S608


class WalSource:
    """Streams one slot. Checkpoints are written over the leader's session. LogUnavailable: the slot cannot be read."""

    mode = Mode("wal")

    def __init__(self, layout: TupleLayout, connection: DatabaseConnection, url: str, publication: str) -> None:
        self._layout = layout
        self._connection = connection
        self._url = url
        self._publication = publication
        self._replication: ReplicationConnection | None = None
        self._wake: Callable[[], None] = lambda: None

    @property
    def slot(self) -> str:
        """The slot that is or was streamed last."""
        return self._checkpoint.slot

    async def resume(self, cursor: Cursor) -> None:
        """Streams the slot that the cursor names, behind the cursor."""
        assert isinstance(cursor, WalCursor)
        await self.close()
        checkpoint = cursor.checkpoint
        await check_log(self._connection)
        await take_slot(self._connection, checkpoint.slot, checkpoint.lsn)
        if await publication_state(self._connection, self._publication) != checkpoint.publication:
            raise LogUnavailable(f"publication {self._publication} is not what it was at the last checkpoint")
        self._epoch = cursor.epoch
        self._checkpoint = checkpoint
        self._resume_lsn, self._resume_index = cursor.commit_lsn, cursor.index
        self._behind = cursor.behind
        self._delivered = IdSet(checkpoint.transactions)
        self._passed = {one & 0xFFFFFFFF for one in checkpoint.transactions}
        self._base, self._mark, self._lsn = cursor.base, cursor.mark, cursor.commit_lsn
        self._bases = deque([(self._base, checkpoint)])
        self._unstored: deque[tuple[int, int, int]] = deque()
        self._stored_ids = IdSet(checkpoint.transactions)
        self._head = _NO_TABLE
        self._read_event: Read = _undescribed
        self._skip, self._index = 0, 0
        self._commit_lsn, self._commit_text, self._transaction = 0, "", 0
        # Others may write messages with our prefix; only we know this.
        self._token = secrets.token_hex(8).encode()
        self._emit_due = 0.0
        try:
            self._replication = await ReplicationConnection.open(self._url)
            await self._replication.start(checkpoint.slot, self._publication, lambda: self._wake())
            self._messages = self._replication.messages()
        except psycopg.Error as error:
            await self.close()
            raise LogUnavailable(f"slot {checkpoint.slot} cannot be read: {str(error).strip()}") from None

    async def read(self, max_events: int, max_bytes: int) -> Batch:
        """What has arrived, up to the next checkpoint."""
        if time.monotonic() >= self._emit_due:
            self._emit_due = time.monotonic() + CHECKPOINT_SECONDS
            flushing = ", true)" if self._connection.info.server_version >= _FLUSHING_VERSION else ")"
            await self._connection.execute(
                _EMIT + flushing, {"token": self._token.decode(), "publication": self._publication}
            )
        try:
            return self._take(max_events, max_bytes)
        except psycopg.Error as error:
            raise LogUnavailable(f"the replication stream broke off: {str(error).strip()}") from None
        except ProtocolError as error:
            raise LogUnavailable(f"the replication stream cannot be read: {error}") from None

    def stored(self, cursor_text: str) -> None:
        """Confirms the checkpoint that a stored cursor carries, and counts the transactions before it as stored."""
        base, _, at = cursor_text.rpartition(";")
        if self._replication is None or all(one != base for one, _ in self._bases):
            return
        lsn_part, index = at.split(":")[:2]
        stored = parse_lsn(lsn_part), int(index)
        while self._unstored and self._unstored[0][:2] <= stored:
            self._stored_ids.add(self._unstored.popleft()[2])
        if self._bases[0][0] != base:
            while self._bases[0][0] != base:
                self._bases.popleft()
            self._stored_ids = IdSet(self._stored_ids.not_seen_by(self._bases[0][1].snapshot))
        self._replication.confirm(self._bases[0][1].lsn)

    def covering(self) -> tuple[Snapshot, list[int]] | None:
        """What is stored: all that the snapshot sees, and the transactions beside it. None when they are too many."""
        if len(self._stored_ids) > MOST_COVERING:
            return None
        return self._bases[0][1].snapshot, list(self._stored_ids)

    def idle_seconds(self) -> float:
        """An arrival ends the wait earlier."""
        return IDLE_SECONDS

    def notify(self, wake: Callable[[], None]) -> None:
        """`wake` is called when something has arrived."""
        self._wake = wake

    async def close(self) -> None:
        """Ends the stream; the slot stays."""
        replication, self._replication = self._replication, None
        if replication is not None:
            await replication.close()

    def _take(self, max_events: int, max_bytes: int) -> Batch:
        events: list[OutboxEvent] = []
        marks: list[str] = []
        base, before = self._base, self._mark
        reached: Checkpoint | None = None
        size, more = 0, True
        # Most of a drain is spent here: what an insert needs is looked up once for all of them.
        head, read, index, skip = self._head, self._read_event, self._index, self._skip
        commit, transaction, behind = self._commit_text, str(self._transaction), self._behind
        for data in self._messages:
            if data is None:
                more = False
                break
            kind = data[HEADER]
            if kind == INSERT:
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
                    marks.append(f"{commit}:{index}:{transaction}:{behind}")
                    size += len(data)
                    if len(events) >= max_events or size >= max_bytes:
                        break
            elif kind == BEGIN:
                index, skip, commit = 0, self._begin(data), self._commit_text
            elif kind == COMMIT:
                if index:
                    self._unstored.append((self._commit_lsn, index, self._transaction))
            elif kind == MESSAGE:
                reached = self._message(data)
                if reached is not None:
                    break
            elif kind == RELATION:
                relation = read_relation(data, HEADER)
                if relation.oid == self._layout.oid:
                    decoder = TupleDecoder(self._layout, relation)
                    head, read = self._head, self._read_event = decoder.head, decoder.event
            elif kind not in IGNORED:
                raise ProtocolError(f"a message of kind {chr(kind)!r}")
        self._index, self._skip = index, skip
        self._behind = behind if reached is None else 0
        if marks and reached is None:
            self._mark, self._lsn = marks[-1], self._commit_lsn
        return Batch(base, before, events, marks, reached, more)

    def _begin(self, data: bytes) -> int:
        """A transaction begins to arrive; how many of its events are delivered already."""
        commit_lsn, transaction = read_begin(data, HEADER)
        self._commit_lsn, self._commit_text = commit_lsn, lsn_text(commit_lsn)
        if commit_lsn < self._resume_lsn or transaction in self._passed:
            return _WHOLE
        return self._resume_index if commit_lsn == self._resume_lsn else 0

    def _message(self, data: bytes) -> Checkpoint | None:
        """A checkpoint, if this is a message of ours."""
        message = read_message(data, HEADER)
        if message.prefix != MESSAGE_PREFIX or message.transactional:
            return None
        token, _, content = message.content.partition(b";")
        if token != self._token:
            return None
        as_of, snapshot_text, state = content.decode().split(";")
        snapshot, old = Snapshot.parse(snapshot_text), self._checkpoint
        if message.lsn < self._lsn or not snapshot.includes(old.snapshot):
            return None
        if state != old.publication:
            raise LogUnavailable(f"publication {self._publication} was changed or dropped")
        unseen = self._delivered.not_seen_by(snapshot)
        self._delivered = IdSet(unseen)
        self._checkpoint = replace(old, lsn=message.lsn, snapshot=snapshot, transactions=tuple(unseen))
        cursor = WalCursor(self._epoch, self._checkpoint, message.lsn)
        self._base, self._mark, self._lsn = cursor.base, cursor.mark, message.lsn
        self._bases.append((self._base, self._checkpoint))
        return Checkpoint(cursor, int(as_of))

    def _other_insert(self, data: bytes) -> None:
        """An insert that is none of our table's, unless the stream contradicts itself."""
        if self._head[:4] == data[_OID]:
            raise ProtocolError("a row with another number of columns than its table")


def _undescribed(data: bytes, at: int) -> OutboxEvent:
    raise ProtocolError("a row whose table was not described")


def new_cursor(epoch: int, checkpoint: WalCheckpoint) -> WalCursor:
    """The cursor at a checkpoint, behind which nothing is delivered."""
    return WalCursor(epoch, checkpoint, checkpoint.lsn)
