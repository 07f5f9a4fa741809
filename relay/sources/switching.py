"""Reads the log if possible and polls otherwise, and switches between the two without overlap or gap.

**From the log to polling** (the slot is missing, lost, in use, refused, or ahead of the stream): the switch is made at
once. The poll begins at the snapshot of the last checkpoint. It skips the events that were delivered although this
snapshot does not see them: those of the transactions that the checkpoint lists, and those that the stream has after it.

**From polling to the log**: while polling goes on, a slot is created, which waits for every write transaction that is
open in the cluster. The slot begins at a snapshot, and the poll makes its next difference end at that snapshot. If the
poll is already after the snapshot, the cursor lists the transactions in between, and the log skips them. The first
cursor of the log contains the slot's name. So after a crash at any moment either the stream's last cursor contains the
slot's name, or the slot is dropped and created again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog

from relay.events.cursor import Cursor, PollCursor, WalCheckpoint, WalCursor
from relay.events.delivered import NOTHING, Delivered
from relay.events.errors import Closing, LogUnavailable, SessionClosed
from relay.events.snapshot import Snapshot
from relay.events.source import Batch, Checkpoint, Mode
from relay.sources.poll import PollSource
from relay.stream.history import StreamHistory
from relay.wal.reader import IDLE_SECONDS, WalReader, new_cursor
from relay.wal.slot_cleanup import SlotCleanup
from relay.wal.slot_maker import SlotMaker
from relay.wal.source import WalSource

_log = structlog.get_logger(__name__)

#: A cursor lists at most so many transactions. If there would be more, a new slot is created.
MOST_TRANSACTIONS = 2_000
_WAL = Mode("wal")


class SwitchingSource:
    """Reads events from the log, and polls while the log cannot be read.

    If `wal` is None, it only polls, for the reason `why` (None if the settings ask for polling).
    """

    def __init__(
        self,
        *,
        poll: PollSource,
        wal: WalSource | None,
        slots: SlotMaker,
        cleanup: SlotCleanup,
        history: StreamHistory,
        why: str | None = None,
    ) -> None:
        self._poll = poll
        self._wal = wal
        self._slots = slots
        self._cleanup = cleanup
        self._history = history
        self._why = self._reason = why
        #: The reader of the log; None while polling.
        self._reader: WalReader | None = None
        self._wake: Callable[[], None] = lambda: None
        self._checkpointed = False
        self._distrusted: set[str] = set()

    @property
    def mode(self) -> Mode:
        """The mode in use. While polling, its reason says why the log is not read; None if it is not wanted."""
        return _WAL if self._reader is not None else Mode("poll", self._slots.problem or self._reason)

    async def resume(self, cursor: Cursor) -> None:
        """Continues from `cursor`: it reads the slot in the cursor if that is possible, and polls otherwise."""
        await self._stop()
        delivered = NOTHING
        if isinstance(cursor, WalCursor):
            reason = await self._stream(cursor)
            if reason is None:
                return
            _log.warning("the log cannot be read, polling from the last checkpoint", reason=reason)
            self._reason = reason
            checkpoint = cursor.checkpoint
            passed = await self._history.passed_over(cursor)
            cursor = PollCursor(cursor.epoch, checkpoint.snapshot, passed=passed)
        else:
            self._reason = "a slot is being made" if self._wal else self._why
        if cursor.passed is not None:
            delivered = await self._history.delivered(cursor.passed)
            if cursor.seen is not None and delivered.seen_by(cursor.seen):
                cursor, delivered = replace(cursor, passed=None), NOTHING
        await self._go_on_polling(cursor, delivered)

    async def read(self, max_events: int, max_bytes: int) -> Batch:
        """Returns the next events.

        Raises SessionClosed if the log breaks off, because then only the stream shows what was delivered.
        """
        if (reader := self._reader) is not None:
            try:
                batch = await reader.read(max_events, max_bytes)
            except LogUnavailable as problem:
                if not self._checkpointed:
                    # Something before the next checkpoint cannot be read, so this slot would break off each time.
                    self._distrusted.add(reader.slot)
                raise SessionClosed(Closing.SOURCE, str(problem)) from None
            self._checkpointed = self._checkpointed or batch.reached is not None
            return batch
        if (made := self._slots.made()) is not None:
            first = await self._hand_over(made)
            if first is not None:
                return first
        return await self._poll.read(max_events, max_bytes)

    def stored(self, cursor: Cursor) -> None:
        """Confirms stored checkpoints to the slot, so that the server need not keep the log before them."""
        if self._reader is not None:
            self._reader.stored(cursor)

    def idle_seconds(self) -> float:
        """Returns how long to wait before the next read, by the source in use."""
        return IDLE_SECONDS if self._reader is not None else self._poll.idle_seconds()

    def notify(self, wake: Callable[[], None]) -> None:
        """Sets `wake`, which is called when something arrives from the log. It applies when the log is opened next."""
        self._wake = wake

    def covering(self) -> tuple[Snapshot, Sequence[int]] | None:
        """Returns what the stream holds, if the log is read and knows it more exactly than the cursor; else None."""
        return self._reader.covering() if self._reader is not None else None

    async def close(self) -> None:
        """Ends the reading of the log, the creation of a slot, and the cleanup. A slot that was in use stays."""
        await self._stop()

    async def _stop(self) -> None:
        reader, self._reader = self._reader, None
        await self._cleanup.end()
        await self._slots.forget()
        if reader is not None:
            await reader.close()

    async def _go_on_polling(self, cursor: PollCursor, delivered: Delivered) -> None:
        await self._poll.resume(cursor)
        self._poll.pass_over(delivered)
        if self._wal is not None:
            self._slots.begin()
        else:
            await self._cleanup.begin()

    async def _stream(self, cursor: WalCursor) -> str | None:
        """Begins to read the log from `cursor`. Returns None, or why that is impossible."""
        if self._wal is None:
            return self._why or "RELAY_MODE is poll"
        if cursor.checkpoint.slot in self._distrusted:
            return f"slot {cursor.checkpoint.slot} failed before it gave a checkpoint"
        try:
            self._reader = await self._wal.open(cursor, self._wake)
        except LogUnavailable as problem:
            return str(problem)
        self._checkpointed = False
        await self._cleanup.begin(keep=cursor.checkpoint.slot)
        return None

    async def _hand_over(self, made: WalCheckpoint) -> Batch | None:
        """Begins to read the log, once the poll has reached the beginning of the new slot.

        Returns the first batch of the log, which has no events; None if polling must go on.
        """
        at = self._poll.cursor
        if at.upto is not None or at.seen is None or at.passed is not None:
            return None
        if not at.seen.includes(made.snapshot):
            self._poll.end_at(made.snapshot)
            return None
        between = await self._poll.transactions_between(made.snapshot, at.seen, MOST_TRANSACTIONS + 1)
        await self._slots.forget()
        if len(between) <= MOST_TRANSACTIONS:
            cursor = new_cursor(at.epoch, replace(made, transactions=tuple(between)))
            reason = await self._stream(cursor)
            if reason is None:
                _log.info("reading the log", slot=made.slot, passed_over=len(between))
                return Batch(cursor.base, cursor, (), (), cursor, Checkpoint(cursor, None), more=True)
            _log.warning("the new slot cannot be read, polling goes on", reason=reason)
            self._reason = reason
        self._slots.begin()
        return None
