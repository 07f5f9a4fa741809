"""Hashes leaves and nodes of a Merkle tree. A prefix keeps a leaf from passing for a node."""

from __future__ import annotations

import hashlib

HASH_BYTES = 32
#: The root of a tree without leaves.
EMPTY_ROOT = hashlib.sha256().digest()


def leaf_hash(data: bytes) -> bytes:
    """Returns the hash of a leaf's bytes."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Returns the hash of a node from those of its two children."""
    return hashlib.sha256(b"\x01" + left + right).digest()
