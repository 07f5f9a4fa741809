"""Assigns each order to one of 64 partitions, by a hash of its id.

Subjects, notices and digests contain the partition, so the assignment never changes.
"""

from __future__ import annotations

import hashlib
import uuid

PARTITIONS = 64


def partition_of(order_id: uuid.UUID | str) -> int:
    """Returns the partition of an order id, 0 to 63. Raises ValueError when a string is not a UUID."""
    value = order_id if isinstance(order_id, uuid.UUID) else uuid.UUID(order_id)
    return int.from_bytes(hashlib.sha256(value.bytes).digest()[:2]) % PARTITIONS
