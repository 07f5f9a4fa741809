"""Keeps what a witness knows in files: its key, the checkpoint that it signed last, and the hashes of the leaves.

`checkpoint` is replaced at once and flushed to the disk before the signature leaves the process. `leaves` holds 32
bytes for each leaf and only grows. `refused/` holds checkpoints that contradict the one that was signed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from audit.notes.checkpoint import Checkpoint, parse_checkpoint
from audit.notes.signed_note import SignedNote, parse_note
from audit.tree.frontier import Frontier
from audit.tree.hashing import HASH_BYTES

#: More would let a hostile log fill the disk.
MOST_REFUSED = 100
_CHUNK = HASH_BYTES * 8_192


class WitnessMemory:
    """The files of one witness, in a directory that no other process writes. Raises OSError where the disk fails."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        (directory / "refused").mkdir(exist_ok=True)
        self._checkpoint, self._leaves = directory / "checkpoint", directory / "leaves"
        self._last = self._read_checkpoint()
        self._frontier: Frontier | None = None

    @property
    def key_file(self) -> Path:
        """The file of the witness's signing key."""
        return self._directory / "key"

    @property
    def last(self) -> Checkpoint | None:
        """The checkpoint that was signed last; None before the first."""
        return self._last

    @property
    def note(self) -> str:
        """The note of that checkpoint with the witness's signature; empty before the first."""
        return self._checkpoint.read_text(encoding="utf-8") if self._last is not None else ""

    @property
    def leaf_count(self) -> int:
        """The number of leaves of which the hash is known."""
        return self._leaves.stat().st_size // HASH_BYTES if self._leaves.exists() else 0

    def remember(self, checkpoint: Checkpoint, note: SignedNote) -> None:
        """Replaces the checkpoint; on the disk when this returns."""
        fresh = self._directory / "checkpoint.new"
        _write(fresh, note.text.encode(), "wb")
        fresh.replace(self._checkpoint)
        _flush_directory(self._directory)
        self._last = checkpoint

    def keep_refused(self, note: SignedNote) -> None:
        """Keeps a checkpoint that contradicts the one that was signed: with both, anyone sees what the log did."""
        directory = self._directory / "refused"
        file = directory / f"{hashlib.sha256(note.text.encode()).hexdigest()[:16]}.note"
        if not file.exists() and sum(1 for _ in directory.iterdir()) < MOST_REFUSED:
            _write(file, note.text.encode(), "wb")

    def add_leaves(self, hashes: bytes) -> str | None:
        """Adds the hashes of leaves that follow those known, and of no more than were signed.

        When all are there, they must give the root that was signed. Otherwise all are dropped, to be sent again, and
        the reason is returned.
        """
        assert self._last is not None
        frontier = self._tree()
        try:
            _write(self._leaves, hashes, "ab")
        except OSError:  # as of a full disk: a part may have been written
            os.truncate(self._leaves, frontier.size * HASH_BYTES)
            raise
        for at in range(0, len(hashes), HASH_BYTES):
            frontier.append(hashes[at : at + HASH_BYTES])
        if frontier.size == self._last.size and frontier.root() != self._last.root:
            os.truncate(self._leaves, 0)
            self._frontier = None
            return f"the {self._last.size} leaves do not give the root that was signed"
        return None

    def leaves(self, first: int, count: int) -> bytes:
        """Returns the hashes of some leaves, 32 bytes each, as far as they are known."""
        if first >= self.leaf_count:
            return b""
        with self._leaves.open("rb") as opened:
            opened.seek(first * HASH_BYTES)
            found = opened.read(count * HASH_BYTES)
        return found[: len(found) // HASH_BYTES * HASH_BYTES]

    def _tree(self) -> Frontier:
        """Returns the tree over the leaves in the file, which is read once."""
        if self._frontier is None:
            self._frontier = Frontier()
            if self._leaves.exists():
                os.truncate(self._leaves, self.leaf_count * HASH_BYTES)  # half a hash, of a write that was cut
                for chunk in self._chunks():
                    for at in range(0, len(chunk), HASH_BYTES):
                        self._frontier.append(chunk[at : at + HASH_BYTES])
        return self._frontier

    def _chunks(self) -> Iterator[bytes]:
        with self._leaves.open("rb") as opened:
            while chunk := opened.read(_CHUNK):
                yield chunk

    def _read_checkpoint(self) -> Checkpoint | None:
        if not self._checkpoint.exists():
            return None
        return parse_checkpoint(parse_note(self._checkpoint.read_text(encoding="utf-8")).body)


def _write(file: Path, content: bytes, mode: str) -> None:
    with file.open(mode) as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())


def _flush_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
