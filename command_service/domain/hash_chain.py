"""Computes the hash chain of an order's events. Each hash covers one stored event and the hash of the event before.

Layout of the hashed bytes, in this order, with nothing between the parts:

1. the hash of the order's previous event, 32 bytes; 32 zero bytes for the first event
2. nine fields, each as 4 bytes of big-endian length and then that many bytes of UTF-8 text: event id (UUID, lower
   case), aggregate type, aggregate id (UUID, lower case), aggregate version (decimal), event type, occurred_at and
   recorded_at (whole microseconds since 1970-01-01 UTC, decimal), headers and payload (the JSON text exactly as stored)
3. the personal digest, 32 bytes: SHA-256 of the salt and then the personal JSON text exactly as stored

The hash is the SHA-256 of these bytes. Position and transaction id are left out, because a restore may change them.
Personal data enters only by its salted digest, so erasing data and salt leaves the chain valid and reveals nothing.
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
    """The stored parts of one event that its hash covers."""

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
    """Returns the SHA-256 of salt and personal data. The chain can be verified with it after both were erased."""
    return hashlib.sha256(salt + personal.encode()).digest()


def chain_hash(previous: bytes, link: Link) -> bytes:
    """Returns the 32-byte hash of `link`. `previous` is the hash of the event before; GENESIS for the first event.

    Raises ValueError when `previous` or the personal digest is not 32 bytes long.
    """
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
    """Returns whole microseconds since 1970-01-01 UTC, exactly. Raises TypeError for a time without zone."""
    return (moment - _EPOCH) // _MICROSECOND
