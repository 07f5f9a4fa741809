"""Compares the log's tables with each other in one pass: leaves, nodes and signed checkpoints, and the witness.

The tree is computed anew from the leaves' rows, in their order. At each signed checkpoint its root must be the note's.
One pass serves all checkpoints, and memory does not grow with the log.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import psycopg

from audit.notes.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint
from audit.notes.cosignature import require_cosignature
from audit.notes.keys import VerificationKey
from audit.notes.signed_note import SignedNote, UnfitNote, parse_note
from audit.proving.findings import Finding, Report
from audit.proving.known_witness import KnownWitness, WitnessSilent
from audit.storage import checkpoints, leaf_rows, tree_nodes
from audit.storage.checkpoints import StoredCheckpoint
from audit.storage.leaf_rows import LeafRow
from audit.storage.tree_nodes import STORED_LEVELS
from audit.tree.frontier import Frontier, Node
from audit.tree.hashing import HASH_BYTES
from audit.verifying.copies import LOG

CHECKPOINTS, WITNESS = "checkpoint table", "witness"
#: Leaves that are held at once.
_TOGETHER = 8_192


class LogCheck:
    """One pass over a log. Without `log_key` or `witness_key` their signatures are not verified."""

    def __init__(
        self,
        connection: psycopg.AsyncConnection,
        report: Report,
        *,
        log_key: VerificationKey | None = None,
        witness_key: VerificationKey | None = None,
        witness: KnownWitness | None = None,
        advance: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._connection, self._report, self._advance = connection, report, advance
        self._log_key, self._witness_key, self._witness = log_key, witness_key, witness
        self._tree = Frontier()
        self._remembered: Checkpoint | None = None
        #: The first difference of a kind is told; all that is after it differs too.
        self._told: set[str] = set()

    async def run(self) -> None:
        """Adds what was compared and what differs. Raises psycopg.Error."""
        # The witness is asked first: what it has signed is in the table already.
        await self._ask_the_witness()
        newest = await checkpoints.newest(self._connection)
        compared = 0
        async for stored in checkpoints.ascending(self._connection, 0 if newest is None else newest.size):
            checkpoint = self._opened(stored)
            if await self._grow(stored.size) and checkpoint is not None:
                self._compare_root(checkpoint, "was signed")
            compared += 1
        if self._remembered is not None:
            self._wrong(f"the witness has signed {self._remembered.size} leaves, and no checkpoint is so large", LOG)
        signed = "" if self._log_key is not None else ", without their signatures: the log's key was not given"
        self._report.checked.append(f"{compared} signed checkpoints over {self._tree.size} leaves of the log{signed}")

    async def _ask_the_witness(self) -> None:
        if self._witness is None:
            return
        try:
            text = await self._witness.note()
            if text:
                checkpoint, note = self._parsed(text)
                self._require_cosignature(note)
                self._remembered = checkpoint
        except WitnessSilent as silent:
            self._report.remarks.append(f"{silent}; it was not compared")
            self._witness = None
        except UnfitNote as unfit:
            self._wrong(f"its newest checkpoint {unfit}", WITNESS)

    def _opened(self, stored: StoredCheckpoint) -> Checkpoint | None:
        """Returns the checkpoint of a row; None, after a finding, if its notes are not what they must be."""
        which = f"the checkpoint of {stored.size} leaves"
        try:
            checkpoint, note = self._parsed(stored.note)
            if checkpoint.size != stored.size:
                raise UnfitNote(f"has the note of {checkpoint.size} leaves")
            if stored.cosigned is not None:
                cosigned = parse_note(stored.cosigned)
                if cosigned.body != note.body:
                    raise UnfitNote("has another text in the note that the witness signed")
                self._require_cosignature(cosigned)
        except UnfitNote as unfit:
            self._wrong(f"{which} {unfit}", CHECKPOINTS)
            return None
        return checkpoint

    def _parsed(self, text: str) -> tuple[Checkpoint, SignedNote]:
        if self._log_key is not None:
            return open_checkpoint(text, self._log_key)
        note = parse_note(text)
        return parse_checkpoint(note.body), note

    def _require_cosignature(self, note: SignedNote) -> None:
        """Raises UnfitNote for a wrong signature of the witness. Older notes may be signed by an earlier witness."""
        key = self._witness_key
        if key is not None and any(signature.is_by(key) for signature in note.signatures):
            require_cosignature(note, key)

    async def _grow(self, size: int) -> bool:
        """Appends leaves up to `size`; compares what the witness signed on the way. Returns whether all are there."""
        remembered = self._remembered
        if remembered is not None and remembered.size <= size:
            self._remembered = None
            if await self._append_up_to(remembered.size):
                self._compare_root(remembered, "the witness remembers")
        return await self._append_up_to(size)

    async def _append_up_to(self, size: int) -> bool:
        while self._tree.size < size:
            start = self._tree.size
            rows = await leaf_rows.between(self._connection, start, min(size, start + _TOGETHER))
            whole = [row for at, row in enumerate(rows, start) if row.leaf_index == at]
            await self._compare_nodes([node for row in whole for node in self._tree.append(row.hash)])
            await self._compare_leaves(whole)
            self._advance(self._tree.size)
            if self._tree.size < min(size, start + _TOGETHER):
                self._first("missing", f"the row of this leaf is missing, and {size} were signed", self._tree.size)
                return False
        return True

    async def _compare_nodes(self, nodes: Sequence[Node]) -> None:
        wanted = {(node.level, node.number): node.hash for node in nodes if node.level % STORED_LEVELS == 0}
        stored = await tree_nodes.stored(self._connection, list(wanted)) if wanted else {}
        for (level, number), hashed in wanted.items():
            if stored.get((level, number)) != hashed:
                what = f"its node at level {level} is not what its leaves give"
                self._first("node", what, number << level)

    async def _compare_leaves(self, rows: Sequence[LeafRow]) -> None:
        for row in rows:
            if row.leaf.hash != row.hash:
                self._first("content", "its row's hash is not that of its content", row.leaf_index)
        if self._witness is None or not rows or WITNESS in self._told:
            return
        start = rows[0].leaf_index
        try:
            kept = await self._witness.leaves(start, start + len(rows))
        except WitnessSilent as silent:
            self._report.remarks.append(f"{silent}; leaves from {start} on were not compared with its memory")
            self._witness = None
            return
        for row in rows:
            at = (row.leaf_index - start) * HASH_BYTES
            remembered = kept[at : at + HASH_BYTES]
            if remembered and remembered != row.hash:
                self._first(WITNESS, "it is the first leaf that differs from what the witness has", row.leaf_index)

    def _compare_root(self, checkpoint: Checkpoint, what: str) -> None:
        if self._tree.root() == checkpoint.root or "root" in self._told:
            return
        self._told.add("root")
        # Without the key nobody knows whether the note or the leaves were changed.
        copy = LOG if self._log_key is not None else f"{LOG} or {CHECKPOINTS}"
        self._wrong(f"its first {checkpoint.size} leaves do not give the root that {what} for them", copy)

    def _first(self, kind: str, what: str, leaf_index: int) -> None:
        if kind not in self._told:
            self._told.add(kind)
            self._report.add(Finding(what, leaf_index=leaf_index, copy=LOG))

    def _wrong(self, what: str, copy: str) -> None:
        self._report.add(Finding(what, copy=copy))
