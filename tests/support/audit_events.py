"""Builds events and the messages in which the stream carries them, for tests of the audit log."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID, uuid5

from audit.leaves.hash_chain import GENESIS, RecordedEvent, link
from audit.leaves.stream_message import StreamMessage
from relay.events.digest import base64url
from relay.events.message import rfc3339

NAMESPACE = UUID(int=7)
MINUTE = 60_000_000


class Link(NamedTuple):
    """An order's event so far: its version and hash."""

    version: int
    hash: bytes


@dataclass
class EventWriter:
    """Writes chained events of orders, as the write side does. `salt` makes another history with the same orders."""

    salt: str = ""
    heads: dict[UUID, Link] = field(default_factory=dict)

    def event(self, order: int, **changed: object) -> RecordedEvent:
        """Returns the next event of an order."""
        order_id = uuid5(NAMESPACE, f"order {order}")
        before = self.heads.get(order_id, Link(0, GENESIS))
        version = before.version + 1
        personal, salt = '{"note": "ü"}', hashlib.sha256(f"{order} {version}".encode()).digest()
        event = RecordedEvent(
            event_id=uuid5(NAMESPACE, f"event {self.salt} {order} {version}"),
            aggregate_type="order",
            order_id=order_id,
            version=version,
            event_type="ORDER_PAID",
            occurred_at=MINUTE * version,
            recorded_at=MINUTE * version + 1,
            headers='{"schema_version": "1"}',
            payload=f'{{"total": {order}}}',
            personal=personal,
            salt=salt,
            personal_digest=hashlib.sha256(salt + personal.encode()).digest(),
            hash=b"",
        )._replace(**changed)  # type: ignore[arg-type]
        chained = event._replace(hash=link(before.hash, event))
        self.heads[order_id] = Link(version, chained.hash)
        return chained


def headers_of(event: RecordedEvent, epoch: int = 1) -> dict[str, str]:
    """The headers with which the relay publishes an event."""
    return {
        "ce-id": str(event.event_id),
        "ce-type": event.event_type,
        "ce-subject": str(event.order_id),
        "ce-time": rfc3339(event.occurred_at),
        "Tandem-Epoch": str(epoch),
        "Tandem-Aggregate": event.aggregate_type,
        "Tandem-Version": str(event.version),
        "Tandem-Recorded-After": str(event.recorded_at - event.occurred_at),
        "Tandem-Hash": base64url(event.hash.hex()),
        "Tandem-Personal-Digest": base64url(event.personal_digest.hex()),
    }


def body_of(event: RecordedEvent) -> bytes:
    """The body with which the relay publishes an event."""
    salt = "" if event.salt is None else event.salt.hex()
    texts = f'"headers":{event.headers},"payload":{event.payload},"personal":{event.personal or "null"}'
    return f'{{{texts},"salt":"{salt}"}}'.encode()


def message_of(event: RecordedEvent, sequence: int, epoch: int = 1, **changed: str) -> StreamMessage:
    """The message of an event. `changed` are headers, with `_` for `-`."""
    headers = headers_of(event, epoch) | {name.replace("_", "-"): value for name, value in changed.items()}
    return StreamMessage(sequence, headers, body_of(event))


def barrier(sequence: int, epoch: int = 1) -> StreamMessage:
    """A message of the relay that is no event."""
    headers: Mapping[str, str] = {"Tandem-Epoch": str(epoch), "Tandem-Barrier-Time": "2026-01-31T12:00:00Z"}
    return StreamMessage(sequence, headers, b"")
