"""Computes the hash that links an event to the one before it in its order, from the recorded texts.

The write side computes the same hash when it records the event. This is a second, independent implementation: a log
that called the write side's code would repeat its faults.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

#: What stands for the hash before an order's first event.
GENESIS = bytes(32)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class RecordedEvent(NamedTuple):
    """An event as it was recorded. Times are in microseconds since 1970, `headers` and `payload` are the stored texts.

    `hash` is the link that was recorded with it. `personal` and `salt` are None once they are redacted.
    """

    event_id: UUID
    aggregate_type: str
    order_id: UUID
    version: int
    event_type: str
    occurred_at: int
    recorded_at: int
    headers: str
    payload: str
    personal: str | None
    salt: bytes | None
    personal_digest: bytes
    hash: bytes


def link(previous: bytes, event: RecordedEvent) -> bytes:
    """Returns the hash of `event`. `previous` is the hash of the order's event before, GENESIS for the first."""
    digest = hashlib.sha256(previous)
    for text in (
        str(event.event_id),
        event.aggregate_type,
        str(event.order_id),
        str(event.version),
        event.event_type,
        str(event.occurred_at),
        str(event.recorded_at),
        event.headers,
        event.payload,
    ):
        data = text.encode()
        digest.update(len(data).to_bytes(4) + data)
    digest.update(event.personal_digest)
    return digest.digest()


def has_its_personal_data(event: RecordedEvent) -> bool:
    """Returns whether the personal data, if it is still there, is what the digest was made of."""
    if event.personal is None:
        return True
    return hashlib.sha256((event.salt or b"") + event.personal.encode()).digest() == event.personal_digest


def microseconds(moment: datetime) -> int:
    """Returns a time as microseconds since 1970, exactly."""
    return (moment - _EPOCH) // _MICROSECOND
