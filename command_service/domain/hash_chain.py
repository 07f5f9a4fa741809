"""The hash chain of an order's events: each hash covers the event as stored and, through the one before, all of them.

Layout of what is hashed, in this order, nothing between the parts:

1. the hash of the order's event before it, 32 bytes; 32 zero bytes for the first event
2. nine fields, each as 4 bytes big-endian length and then that many bytes of UTF-8 text:
   event id (UUID, lower case), aggregate type, aggregate id (UUID, lower case), aggregate version (decimal),
   event type, occurred_at and recorded_at (whole microseconds since 1970-01-01 UTC, decimal),
   headers and payload (the JSON text exactly as stored)
3. the personal digest, 32 bytes: SHA-256 of the salt and then the personal JSON text exactly as stored

The hash is the SHA-256 of all that, 32 bytes. Position and transaction id are left out: a restore may change them.
Personal data enters by its salted digest only: erasing data and salt leaves the chain valid and tells nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

GENESIS = bytes(32)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Link:
    """What one link of the chain covers, as stored."""

    event_id: UUID
    aggregate_type: str
    aggregate_id: UUID
    aggregate_version: int
    event_type: str
    occurred_at: datetime
    recorded_at: datetime
    headers: str
    payload: str
    personal_digest: bytes


def personal_digest(salt: bytes, personal: str) -> bytes:
    """32 bytes that stand for the personal data after it was erased."""
    return hashlib.sha256(salt + personal.encode()).digest()


def chain_hash(previous: bytes, link: Link) -> bytes:
    """The 32-byte hash of `link` after `previous` (GENESIS for the first); raises ValueError when a part is not 32."""
    if len(previous) != len(GENESIS) or len(link.personal_digest) != len(GENESIS):
        raise ValueError("hashes and digests are 32 bytes")
    digest = hashlib.sha256(previous)
    for field in (
        str(link.event_id),
        link.aggregate_type,
        str(link.aggregate_id),
        str(link.aggregate_version),
        link.event_type,
        str(microseconds(link.occurred_at)),
        str(microseconds(link.recorded_at)),
        link.headers,
        link.payload,
    ):
        data = field.encode()
        digest.update(len(data).to_bytes(4))
        digest.update(data)
    digest.update(link.personal_digest)
    return digest.digest()


def microseconds(moment: datetime) -> int:
    """Whole microseconds since 1970-01-01 UTC, exactly; raises TypeError for a time without zone."""
    return (moment - _EPOCH) // _MICROSECOND
