"""An event as the journal keeps it: what the outbox row holds and the relay publishes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

AGGREGATE_TYPE = "order"


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One outbox row but for position and transaction id, which the database draws.

    `payload`, `personal` and `headers` are JSON texts, stored and published exactly as they stand here.
    """

    event_id: UUID
    aggregate_id: UUID
    aggregate_version: int
    event_type: str
    payload: str
    personal: str
    salt: bytes
    personal_digest: bytes
    headers: str
    hash: bytes
    occurred_at: datetime
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Head:
    """The newest link of an order's chain: what the next event continues."""

    version: int
    hash: bytes
    recorded_at: datetime
