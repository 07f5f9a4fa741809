"""Events of an export: the same documents as from the stream, and the same hash chain as on the write side."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from tandem.orders.v1 import order_events_pb2, order_export_service_pb2

from command_service.domain.hash_chain import GENESIS, Link, personal_digest
from command_service.domain.hash_chain import chain_hash as domain_hash
from query_service.handlers.nats_connection import header_fields
from query_service.handlers.source.pages import JournalPages
from query_service.projection.errors import ProjectionError
from query_service.projection.project import project
from query_service.projection.recorded_event import RecordedEvent, chain_fault, chain_hash, recorded_event, stream_event
from query_service.projection.stream_event import read_event
from relay.events.event import OutboxEvent
from tests.support.queries.order_events import START, an_order, published, timestamp
from tests.support.relay.events import BYTES, builder
from tests.support.source_mutants import Mutant, noticed

CHANGES = order_events_pb2.OrderEvent.DESCRIPTOR.oneofs_by_name["change"].fields
EVENT_TYPES = [field.name.upper() for field in CHANGES]
SALT = bytes(range(16))
EPOCH = 2  # of `builder`
OCCURRED, RECORDED = START - timedelta(days=9), START + timedelta(days=1, microseconds=123)


def a_row(event_type: str, version: int = 3, *, personal: bool = True) -> OutboxEvent:
    """A row of the outbox, as command service and relay have it."""
    message = published(an_order(version=version), event_type)
    body = json.loads(message.body)
    payload = json.dumps(body["payload"], separators=(",", ":"), ensure_ascii=False)
    personal_text = json.dumps(body["personal"], separators=(",", ":"), ensure_ascii=False)
    return OutboxEvent(
        position=1000,
        transaction_id="901",
        event_id=message.event_id,
        aggregate_type="order",
        aggregate_id=message.order_id,
        aggregate_version=version,
        partition=17,
        event_type=event_type,
        payload=payload,
        personal=personal_text if personal else None,
        salt=SALT.hex() if personal else None,
        personal_digest=personal_digest(SALT, personal_text).hex(),
        headers='{"actor":"tests","request_id":"r","schema_version":"1","source_epoch":"1"}',
        hash="cd" * 32,
        occurred_at=_microseconds(OCCURRED),
        recorded_at=_microseconds(RECORDED),
    )


def exported(row: OutboxEvent) -> RecordedEvent:
    """The same row, read from a page of the export."""
    stored = order_export_service_pb2.StoredEvent(
        position=row.position,
        event_id=row.event_id or "",
        aggregate_type=row.aggregate_type or "",
        order_id=row.aggregate_id or "",
        order_version=row.aggregate_version or 0,
        event_type=row.event_type or "",
        occur_time=timestamp(OCCURRED),
        record_time=timestamp(RECORDED),
        headers=row.headers or "",
        payload=str(row.payload),
        personal=row.personal,
        salt=bytes.fromhex(row.salt or ""),
        personal_digest=bytes.fromhex(row.personal_digest or ""),
        hash=bytes.fromhex(row.hash or ""),
    )
    order = order_export_service_pb2.ExportedOrder(order_id=stored.order_id, version=3, events=[stored])
    page = JournalPages().page(order_export_service_pb2.ExportOrdersResponse(orders=[order], source_epoch=EPOCH))
    [journal] = page.journals
    [event] = journal.events
    return event


@pytest.mark.parametrize("personal", [True, False])
@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_stream_and_export_give_the_same_documents(event_type: str, personal: bool) -> None:
    row = a_row(event_type, personal=personal)
    message = builder(byte_roles=BYTES).event(row, "1", "2")
    by_stream = project(read_event(header_fields(b"NATS/1.0\r\n" + message.headers), message.body))
    by_export = project(stream_event(exported(row), EPOCH))
    assert by_export == by_stream
    assert by_stream.event["event_type"] == event_type
    assert project(stream_event(recorded_event(by_stream.event), EPOCH)) == by_stream


def test_all_event_types_are_covered() -> None:
    assert "ORDER_CREATED" in EVENT_TYPES
    assert len(EVENT_TYPES) >= 13


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"version": 0}, "version"),
        ({"event_id": "x"}, "event_id"),
        ({"headers": "{}"}, "schema_version"),
        ({"payload": "[]"}, "payload"),
        ({"personal": "1"}, "personal"),
        ({"event_type": "ORDER_PAID"}, "eventType"),
    ],
)
def test_what_is_wrong_with_an_event_is_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ProjectionError, match=named):
        stream_event(replace(exported(a_row("ORDER_CREATED")), **changes), EPOCH)


def link(event: RecordedEvent) -> Link:
    """The same event, as the write side's domain has it."""
    return Link(
        event_id=UUID(event.event_id),
        aggregate_type=event.aggregate_type,
        aggregate_id=UUID(event.order_id),
        aggregate_version=event.version,
        event_type=event.event_type,
        occurred_at=OCCURRED,
        recorded_at=RECORDED,
        headers=event.headers,
        payload=event.payload,
        personal_digest=bytes.fromhex(event.personal_digest),
    )


def chained() -> list[RecordedEvent]:
    """Three events of the write side's chain, the last one redacted."""
    previous, chain = GENESIS, []
    for version in (1, 2, 3):
        event = exported(a_row("ORDER_PAID", version, personal=version < 3))
        previous = domain_hash(previous, link(event))
        chain.append(replace(event, hash=previous.hex()))
    return chain


def chain_faults(chain: list[RecordedEvent]) -> list[str | None]:
    hashes = ["", *(event.hash for event in chain)]
    return [chain_fault(before, event) for before, event in zip(hashes, chain, strict=False)]


def test_both_sides_compute_the_same_chain() -> None:
    assert chain_faults(chained()) == [None, None, None]


def test_any_change_of_an_event_breaks_its_link() -> None:
    first = chained()[0]
    for name, kind in RecordedEvent.__annotations__.items():
        if name == "position":
            continue  # not in the chain, because a restore may change it
        changed: Any = (
            7 if kind == "int" else "00" if name in ("salt", "personal_digest", "hash") else f"{first.payload} "
        )
        assert chain_fault("", replace(first, **{name: changed})) is not None, name
    assert chain_fault("ab" * 32, first) is not None


MUTANTS = {
    "the payload": Mutant(chain_hash, "recorded.payload,", ""),
    "the event before": Mutant(chain_hash, "hashlib.sha256(previous)", "hashlib.sha256(GENESIS)"),
    "the personal data": Mutant(chain_fault, "if personal != recorded.personal_digest:", "if False:"),
}


@pytest.mark.mutant
@pytest.mark.parametrize("left_out", MUTANTS)
def test_a_link_that_is_checked_in_part_is_noticed(left_out: str) -> None:
    with noticed(MUTANTS[left_out]):
        test_both_sides_compute_the_same_chain()
        test_any_change_of_an_event_breaks_its_link()


def _microseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=moment.tzinfo)) // timedelta(microseconds=1)
