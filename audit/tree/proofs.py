"""Verifies proofs: that a leaf is in a tree, and that a tree is the beginning of another one."""

from __future__ import annotations

from collections.abc import Sequence

from audit.tree.hashing import EMPTY_ROOT, node_hash
from audit.tree.ranges import consistency_ranges, inclusion_ranges


def includes(root: bytes, size: int, index: int, leaf: bytes, proof: Sequence[bytes]) -> bool:
    """Returns whether `proof` leads from the hash of the leaf at `index` to the root of `size` leaves."""
    if not 0 <= index < size:
        return False
    ranges = inclusion_ranges(index, size)
    if len(proof) != len(ranges):
        return False
    reached = leaf
    for beside, hashed in zip(ranges, proof, strict=True):
        reached = node_hash(reached, hashed) if beside.start > index else node_hash(hashed, reached)
    return reached == root


def consistent(old_root: bytes, old_size: int, new_root: bytes, new_size: int, proof: Sequence[bytes]) -> bool:
    """Returns whether `proof` shows that the tree of `new_size` leaves begins with that of `old_size` leaves."""
    if not 0 <= old_size <= new_size:
        return False
    if old_size == 0:  # every tree begins with nothing
        return not proof and old_root == EMPTY_ROOT
    ranges = consistency_ranges(old_size, new_size)
    if len(proof) != len(ranges):
        return False
    parts = list(zip(ranges, proof, strict=True))
    old = new = old_root
    if parts and parts[0][0].end == old_size:  # the old tree's right edge, below a node that both trees share
        old = new = parts.pop(0)[1]
    for beside, hashed in parts:
        if beside.start < old_size:
            old = node_hash(hashed, old)
            new = node_hash(hashed, new)
        else:
            new = node_hash(new, hashed)
    return old == old_root and new == new_root
