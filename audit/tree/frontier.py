"""Appends leaves to a tree of which only the right edge is kept: one hash for each bit of its size."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from audit.tree.hashing import EMPTY_ROOT, node_hash


class Node(NamedTuple):
    """The hash over the 2^`level` leaves that begin at leaf `number` · 2^`level`."""

    level: int
    number: int
    hash: bytes


class Frontier:
    """The complete subtrees along the right edge of a tree, largest first."""

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        """`peaks` are the hashes of the subtrees that `ranges.complete_subtrees(0, size)` names."""
        self.size = size
        self._peaks = list(peaks)
        if len(self._peaks) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} complete subtrees on its right edge")

    def append(self, leaf: bytes) -> list[Node]:
        """Appends the hash of a leaf. Returns the nodes above it that are complete now, lowest first."""
        nodes: list[Node] = []
        level, index, current = 0, self.size, leaf
        while index & 1:
            current = node_hash(self._peaks.pop(), current)
            level, index = level + 1, index >> 1
            nodes.append(Node(level, index, current))
        self._peaks.append(current)
        self.size += 1
        return nodes

    def root(self) -> bytes:
        """Returns the root over all leaves."""
        return fold(self._peaks)

    def copy(self) -> Frontier:
        """Returns an independent copy."""
        return Frontier(self.size, self._peaks)


def fold(peaks: Iterable[bytes]) -> bytes:
    """Returns the root over neighbouring complete subtrees, largest first."""
    hashes = list(peaks)
    if not hashes:
        return EMPTY_ROOT
    root = hashes.pop()
    while hashes:
        root = node_hash(hashes.pop(), root)
    return root
