"""Which of the 64 hash buckets an order belongs to: part of subjects, notices and digests, so it never changes."""

from __future__ import annotations

import hashlib
import uuid

PARTITIONS = 64


def partition_of(order_id: uuid.UUID | str) -> int:
    """Bucket 0 to 63 of an order id; raises ValueError when a string is no UUID."""
    value = order_id if isinstance(order_id, uuid.UUID) else uuid.UUID(order_id)
    return int.from_bytes(hashlib.sha256(value.bytes).digest()[:2]) % PARTITIONS
