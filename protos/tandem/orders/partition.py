"""Computes the hash bucket of an order, one of 64. Subjects, notices and digests contain it, so it never changes."""

from __future__ import annotations

import hashlib
import uuid

PARTITIONS = 64


def partition_of(order_id: uuid.UUID | str) -> int:
    """Returns bucket 0 to 63 of an order id. Raises ValueError for a string that is no UUID."""
    value = order_id if isinstance(order_id, uuid.UUID) else uuid.UUID(order_id)
    return int.from_bytes(hashlib.sha256(value.bytes).digest()[:2]) % PARTITIONS
