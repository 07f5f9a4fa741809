"""Checks the present journal and log against a note that was signed earlier.

The leaves are recomputed from the journal's stored texts, and put where the log has them. The root over the first
leaves, as many as the note says, must be the note's root: then every event before the note is what it was. If it is
not, the events are named whose leaf differs: from the log's row, and, if the rows were changed too, from the hash that
the witness keeps.
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from audit.leaves.hash_chain import GENESIS, RecordedEvent, has_its_personal_data, link
from audit.leaves.leaf import LeafKind, event_leaf
from audit.notes.checkpoint import Checkpoint
from audit.proving.findings import Report
from audit.proving.journal import ExportedJournal, Journal
from audit.proving.known_witness import KnownWitness, WitnessSilent
from audit.storage import leaf_rows
from audit.storage.leaf_rows import LeafRow
from audit.tree.frontier import Frontier
from audit.tree.hashing import HASH_BYTES

_NONE = bytes(HASH_BYTES)
#: Orders whose leaves are looked up at once, and leaves that are compared at once.
_ORDERS, _LEAVES = 500, 8_192


class NoteCheck:
    """One check. `restored` are the source epochs at whose beginning a restore may have lost events."""

    def __init__(
        self,
        connection: psycopg.AsyncConnection,
        journal: ExportedJournal,
        checkpoint: Checkpoint,
        *,
        witness: KnownWitness | None = None,
        restored: Sequence[int] = (),
    ) -> None:
        self._connection, self._journal, self._checkpoint = connection, journal, checkpoint
        self._witness, self._restored = witness, set(restored)
        self._computed = bytearray(HASH_BYTES * checkpoint.size)
        self._events = self._not_in_the_log = 0

    async def run(self, report: Report) -> None:
        """Adds what was checked and what is wrong. Raises psycopg.Error, grpc.aio.AioRpcError."""
        size = await leaf_rows.size(self._connection)
        if size < self._checkpoint.size:
            report.wrong(f"the log has {size} leaves, and the note says {self._checkpoint.size}: its end was cut off")
        await self._recompute(report)
        await self._fill_from_log(report)
        root = self._root()
        report.checked.append(f"{self._events} events of the journal, recomputed from their stored texts")
        if self._not_in_the_log:
            report.remarks.append(
                f"{self._not_in_the_log} events are not in the log: newer than its end, parked, or discarded"
            )
        if root == self._checkpoint.root:
            report.checked.append(f"the root over the first {self._checkpoint.size} leaves, which is the note's")
            return
        try:
            await self._compare_with_witness(report)
        except WitnessSilent as silent:
            report.remarks.append(f"{silent}; without it the first leaf that differs is not named")
        if report.holds:
            report.wrong(
                f"the first {self._checkpoint.size} leaves do not give the note's root: journal and log were changed"
                " together; the witness's leaves would tell where"
            )

    async def _recompute(self, report: Report) -> None:
        """Computes the leaf of each event of the journal, and puts it where the log has the event."""
        waiting: list[Journal] = []
        async for order in self._journal.orders():
            waiting.append(order)
            if len(waiting) >= _ORDERS:
                await self._place(waiting, report)
                waiting = []
        await self._place(waiting, report)

    async def _place(self, orders: Sequence[Journal], report: Report) -> None:
        events = [event for order in orders for event in order.events]
        rows = await leaf_rows.of_events(self._connection, [event.event_id for event in events])
        for order in orders:
            previous = GENESIS
            versions = [event.version for event in order.events]
            if versions != list(range(1, len(versions) + 1)):
                report.wrong("the journal does not have its versions from 1 on without a gap", order.order_id)
            for event in order.events:
                self._events += 1
                self._judge(event, link(previous, event), rows.get(event.event_id), report)
                previous = event.hash
            if (len(versions), previous) != (order.version, order.hash):
                what = "its row has another hash or version than its newest event"
                report.wrong(what, order.order_id, order.version)

    def _judge(self, event: RecordedEvent, computed: bytes, row: LeafRow | None, report: Report) -> None:
        index = None if row is None else row.leaf_index
        if computed != event.hash:
            what = "the journal's text does not give its hash"
            report.wrong(what, event.order_id, event.version, index)
        elif not has_its_personal_data(event):
            report.wrong("its personal data does not give its digest", event.order_id, event.version, index)
        if row is None:
            self._not_in_the_log += 1
            return
        leaf = event_leaf(event.event_id, event.order_id, event.version, computed).hash
        if row.leaf_index < self._checkpoint.size:
            self._computed[row.leaf_index * HASH_BYTES : (row.leaf_index + 1) * HASH_BYTES] = leaf
        if leaf != row.hash and computed == event.hash:
            what = "the journal has it with another content than the log"
            report.wrong(what, event.order_id, event.version, index)

    async def _fill_from_log(self, report: Report) -> None:
        """Takes from the log the leaves that are no events, and those of events that a known restore has lost."""
        others = await leaf_rows.no_events(self._connection)
        for row in others:
            if row.leaf_index < self._checkpoint.size:
                self._put(row)
        for start in range(0, self._checkpoint.size, _LEAVES):
            end = min(start + _LEAVES, self._checkpoint.size)
            gaps = [index for index in range(start, end) if self._at(index) == _NONE]
            if not gaps:
                continue
            rows = {row.leaf_index: row for row in await leaf_rows.between(self._connection, gaps[0], gaps[-1] + 1)}
            for index in gaps:
                self._missing(index, rows.get(index), others, report)

    def _missing(self, index: int, row: LeafRow | None, others: Sequence[LeafRow], report: Report) -> None:
        if row is None:
            if index == 0 or self._at(index - 1) != _NONE:
                report.wrong("the log's row of this leaf is missing, and maybe those after it", leaf_index=index)
            return
        epochs = [one.leaf.epoch for one in others if one.leaf.kind is LeafKind.EPOCH and one.leaf_index > index]
        self._put(row)
        order_id, version = row.leaf.order_id or "", row.leaf.version or 0
        if not epochs:
            report.wrong("the journal does not have it any more", order_id, version, index)
        elif epochs[0] not in self._restored:
            report.wrong(
                f"the journal does not have it any more; source epoch {epochs[0]} began after it: if that was a restore"
                f" that lost it, check with --restored {epochs[0]}",
                order_id,
                version,
                index,
            )
        else:
            report.remarks.append(f"{row.leaf.name} was lost by the restore before source epoch {epochs[0]}")

    async def _compare_with_witness(self, report: Report) -> None:
        """Names the first leaf that differs from the hash that the witness keeps."""
        if self._witness is None:
            return
        for start in range(0, self._checkpoint.size, _LEAVES):
            end = min(start + _LEAVES, self._checkpoint.size)
            kept = await self._witness.leaves(start, end)
            ours = bytes(self._computed[start * HASH_BYTES : end * HASH_BYTES])
            if kept[: len(ours)] == ours:
                continue
            for index in range(start, end):
                at = (index - start) * HASH_BYTES
                if kept[at : at + HASH_BYTES] != ours[at : at + HASH_BYTES]:
                    await self._differs(index, known=len(kept) > at, report=report)
                    return

    async def _differs(self, index: int, *, known: bool, report: Report) -> None:
        if not known:
            report.remarks.append(f"the witness has only the first {index} leaves")
            return
        rows = await leaf_rows.between(self._connection, index, index + 1)
        leaf = rows[0].leaf if rows else None
        report.wrong(
            "it is the first leaf that differs from what the witness has",
            (leaf.order_id or "") if leaf is not None else "",
            (leaf.version or 0) if leaf is not None else 0,
            index,
        )

    def _put(self, row: LeafRow) -> None:
        self._computed[row.leaf_index * HASH_BYTES : (row.leaf_index + 1) * HASH_BYTES] = row.leaf.hash

    def _at(self, index: int) -> bytes:
        return bytes(self._computed[index * HASH_BYTES : (index + 1) * HASH_BYTES])

    def _root(self) -> bytes:
        frontier = Frontier()
        for index in range(self._checkpoint.size):
            frontier.append(self._at(index))
        return frontier.root()
