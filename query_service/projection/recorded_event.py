"""Converts an event as the journal stores it to a StreamEvent, and verifies its link in the order's hash chain.

The journal's texts come from an export of the write side, or from an entry of the read model. The stream carries the
same texts, so `project` makes the same documents of an event on each way.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from query_service.projection.errors import ProjectionError, Unprojectable
from query_service.projection.external_version import MAX_VERSION
from query_service.projection.order_document import EventDocument
from query_service.projection.proto_json import identifier
from query_service.projection.recorded_order import parse_object, read_payload, read_personal_data
from query_service.projection.stream_event import StreamEvent, agree, bounded

#: The hash before the first event of an order.
GENESIS = bytes(32)


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event as the journal stores it.

    Times are microseconds since 1970. `headers`, `payload` and `personal` are the stored texts. `salt`,
    `personal_digest` and `hash` are hexadecimal. `personal` and `salt` are None once redacted.
    """

    order_id: str
    version: int
    event_id: str
    aggregate_type: str
    event_type: str
    occurred_at: int
    recorded_at: int
    position: int
    headers: str
    payload: str
    personal: str | None
    salt: str | None
    personal_digest: str
    hash: str


def recorded_event(entry: EventDocument) -> RecordedEvent:
    """Returns the event that a journal entry of the read model stores."""
    return RecordedEvent(
        order_id=entry["order_id"],
        version=entry["version"],
        event_id=entry["event_id"],
        aggregate_type=entry["aggregate_type"],
        event_type=entry["event_type"],
        occurred_at=entry["occurred_at"],
        recorded_at=entry["recorded_at"],
        position=entry["position"],
        headers=entry["headers"],
        payload=entry["payload"],
        personal=entry["personal"],
        salt=entry["salt"],
        personal_digest=entry["personal_digest"],
        hash=entry["hash"],
    )


def stream_event(recorded: RecordedEvent, source_epoch: int) -> StreamEvent:
    """Returns the event as if it was published in `source_epoch`. Raises ProjectionError, as `read_event` does."""
    if not 1 <= recorded.version <= MAX_VERSION:
        raise ProjectionError(Unprojectable.MALFORMED, f"version {recorded.version} is not within 1 to {MAX_VERSION}")
    journal = parse_object(recorded.headers, "headers")
    schema_version = bounded(journal, "schema_version", 2**31)
    event = StreamEvent(
        order_id=identifier(recorded.order_id, "order_id"),
        version=recorded.version,
        source_epoch=source_epoch,
        event_id=identifier(recorded.event_id, "event_id"),
        aggregate_type=recorded.aggregate_type,
        event_type=recorded.event_type,
        schema_version=schema_version,
        occurred_at=recorded.occurred_at,
        recorded_at=recorded.recorded_at,
        position=recorded.position,
        payload=read_payload(recorded.payload, schema_version),
        payload_text=recorded.payload,
        personal=None if recorded.personal is None else read_personal_data(recorded.personal),
        personal_text=recorded.personal,
        # The body of a message has "" for a salt that was erased.
        salt=None if recorded.personal is None else recorded.salt or None,
        personal_digest=recorded.personal_digest,
        recorded_headers=recorded.headers,
        hash=recorded.hash,
    )
    agree(event)
    return event


def chain_hash(previous: bytes, recorded: RecordedEvent) -> bytes:
    """Returns the hash of an event. `previous` is the hash of the order's event before; GENESIS for the first one.

    The layout of the hashed bytes is that of the write side (`command_service/domain/hash_chain.py`); a test compares
    both. Raises ValueError when the personal digest is no hexadecimal text.
    """
    digest = hashlib.sha256(previous)
    for field in (
        recorded.event_id,
        recorded.aggregate_type,
        recorded.order_id,
        str(recorded.version),
        recorded.event_type,
        str(recorded.occurred_at),
        str(recorded.recorded_at),
        recorded.headers,
        recorded.payload,
    ):
        data = field.encode()
        digest.update(len(data).to_bytes(4))
        digest.update(data)
    digest.update(bytes.fromhex(recorded.personal_digest))
    return digest.digest()


def chain_fault(previous: str, recorded: RecordedEvent) -> str | None:
    """Returns what is wrong with an event's link in the chain; None when nothing is.

    `previous` is the hash of the order's event before, hexadecimal; "" for the first event.
    """
    try:
        computed = chain_hash(bytes.fromhex(previous) or GENESIS, recorded).hex()
        if recorded.personal is not None and recorded.salt is not None:
            personal = hashlib.sha256(bytes.fromhex(recorded.salt) + recorded.personal.encode()).hexdigest()
            if personal != recorded.personal_digest:
                return "its personal data does not give its personal digest"
    except (ValueError, UnicodeEncodeError):
        return "a digest or the salt is no hexadecimal text, or a text is no Unicode"
    return None if computed == recorded.hash else "its text does not give its hash"
