"""What a message leaves out, its readers compute: the projector and the notary read what the row has."""

from __future__ import annotations

import hashlib
import json

import pytest

from audit.leaves.stream_message import StreamMessage, recorded_events
from audit.leaves.stream_message import _personal_digest as digest_of_notary
from query_service.projection.stream_event import _personal_digest as digest_of_projector
from query_service.projection.stream_event import read_event
from relay.events.event import OutboxEvent
from relay.events.message import MessageBuilder
from relay.stream.jetstream_api import parse_headers
from tests.support.relay.events import BYTES, EVENT, builder
from tests.support.source_mutants import Mutant, noticed

PAYLOAD = json.dumps({
    "eventId": EVENT.event_id, "orderId": EVENT.aggregate_id, "orderVersion": "3", "eventType": EVENT.event_type
})  # fmt: skip
GIVEN = hashlib.sha256(b"\0\xff" + '{"name":"Ädä"}'.encode()).hexdigest()
ROW = EVENT._replace(
    payload=PAYLOAD,
    personal='{"name":"Ädä"}',
    personal_digest=GIVEN,
    headers='{"actor":"ä\\n","schema_version":"1","source_epoch":"1"}',
)
ROWS = {
    "the digest that the personal data gives": ROW,
    "another digest": ROW._replace(personal_digest="ab" * 32),
    "erased": ROW._replace(personal=None, salt=None),
    "recorded later": ROW._replace(recorded_at=(ROW.occurred_at or 0) + 1),
    "recorded earlier": ROW._replace(recorded_at=(ROW.occurred_at or 0) - 1_000_001),
    "recorded when it occurred": ROW._replace(recorded_at=ROW.occurred_at),
}


def compare(row: OutboxEvent) -> None:
    """Publishes the row and reads it as the projector and as the notary."""
    message = builder(byte_roles=BYTES).event(row, "@7", "0/1:1:9:1")
    headers = parse_headers(b"NATS/1.0\r\n" + message.headers)
    event = read_event(headers, message.body)
    found = (event.occurred_at, event.recorded_at, event.personal_digest, event.hash, event.recorded_headers)
    assert found == (row.occurred_at, row.recorded_at, row.personal_digest, row.hash, row.headers)
    assert (event.personal_text, event.payload_text, event.source_epoch) == (row.personal, row.payload, 2)
    [noted] = recorded_events(StreamMessage(1, headers, message.body))
    assert (noted.occurred_at, noted.recorded_at, noted.headers) == (row.occurred_at, row.recorded_at, row.headers)
    assert (noted.personal_digest.hex(), noted.hash.hex()) == (row.personal_digest, row.hash)


@pytest.mark.parametrize("name", ROWS)
def test_every_reader_has_what_the_row_has(name: str) -> None:
    compare(ROWS[name])


@pytest.mark.mutant
@pytest.mark.parametrize(
    ("name", "mutant"),
    [
        ("another digest", Mutant(MessageBuilder._untold, "digest_of_personal(personal, salt) == digest", "True")),
        ("recorded later", Mutant(MessageBuilder.event, "{recorded_at - occurred_at}", "{occurred_at - recorded_at}")),
        ("recorded earlier", Mutant(MessageBuilder.event, "if recorded_at != occurred_at", "if False")),
        ("another digest", Mutant(digest_of_projector, "value is not None", "False")),
        ("another digest", Mutant(digest_of_notary, "_DIGEST_HEADER in headers or ", "")),
    ],
    ids=["a digest is left out", "backwards", "no difference", "the projector computes it", "the notary computes it"],
)
def test_a_reader_or_writer_that_goes_wrong_is_noticed(name: str, mutant: Mutant) -> None:
    with noticed(mutant):
        compare(ROWS[name])
