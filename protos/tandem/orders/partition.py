"""Assigns each order to one of 64 hash buckets. Subjects, notices and digests contain it, so it never changes."""

from __future__ import annotations

import hashlib
import uuid

PARTITIONS = 64


def partition_of(order_id: uuid.UUID | str) -> int:
    """Returns the bucket of an order id, 0 to 63; raises ValueError when a string is not a UUID."""
    value = order_id if isinstance(order_id, uuid.UUID) else uuid.UUID(order_id)
    return int.from_bytes(hashlib.sha256(value.bytes).digest()[:2]) % PARTITIONS
