"""Reading messages of the stream: events, barriers, and what is neither."""

import json
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from query_service.application.ports.read_store import Applied
from query_service.projection.errors import ProjectionError, Unprojectable
from query_service.projection.project import project
from query_service.projection.recorded_order import Payload, PersonalData, contact, read_payload, read_personal_data
from query_service.projection.stream_event import addressee, is_barrier, read_barrier, read_body, read_event
from query_service.storage.memory import MemoryStore
from relay.events.digest import base64url
from tests.support.queries.order_events import START, an_order, barrier_headers, published

#: Names that look like the seams of the body among them.
NAMES = st.text() | st.sampled_from(["payload", "personal", "salt"])
JSON_OBJECTS = st.dictionaries(
    NAMES,
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner),
        max_leaves=8,
    ),
    max_size=5,
)


@given(
    JSON_OBJECTS,
    JSON_OBJECTS,
    st.none() | JSON_OBJECTS,
    st.binary(max_size=16),
    st.sampled_from([(",", ":"), (" , ", " : ")]),
)
def test_recorded_text_is_cut_out_to_the_letter(
    headers: dict[str, object],
    payload: dict[str, object],
    personal: dict[str, object] | None,
    salt: bytes,
    separators: tuple[str, str],
) -> None:
    payload_text = json.dumps(payload, separators=separators, ensure_ascii=False)
    personal_text = json.dumps(personal, separators=separators)
    headers_text = json.dumps(headers, separators=separators, ensure_ascii=False)
    body = f'{{"headers":{headers_text},"payload":{payload_text},"personal":{personal_text},"salt":"{salt.hex()}"}}'
    read = read_body(body.encode("utf-8", "surrogatepass"))
    assert (read.headers, read.payload) == (headers_text, payload_text)
    assert read.personal == (None if personal is None else personal_text)
    assert read.salt == (None if personal is None else salt.hex() or None)


def test_what_this_release_does_not_know_is_passed_over() -> None:
    body = b'{"headers":{},"payload":{"a":[null,1.5],"personal":{},"orderId":"x"},"personal":{"b":1},"salt":"00"}'
    payload, personal = parts_of(body)
    assert (payload.order_id, personal.note) == ("x", None)


def test_a_body_without_the_envelope_is_the_payload() -> None:
    read = read_body(b'{"orderId":"x"}')
    assert (read.payload, read.personal, read.salt) == ('{"orderId":"x"}', None, None)


def test_an_event_is_read_whole() -> None:
    message = published(an_order(version=7), "ORDER_PAID", source_epoch=3)
    event = read_event(message.headers, message.body)
    assert (event.order_id, event.version, event.source_epoch) == (message.order_id, 7, 3)
    assert (event.event_id, event.event_type, event.schema_version) == (message.event_id, "ORDER_PAID", 1)
    assert event.recorded_at - event.occurred_at == 0
    assert base64url(event.hash) == message.headers["Tandem-Hash"]
    assert event.salt == bytes(range(16)).hex()
    assert event.personal is not None
    assert contact(event.personal)["display_name"] == "Königlich Essen"


def test_an_event_belongs_to_the_history_it_was_published_in() -> None:
    """What a restored source brings along and the stream had never seen was recorded in an earlier history."""
    message = published(an_order(version=7), source_epoch=3)
    assert read_event({**message.headers, "Tandem-Epoch": "4"}, message.body).source_epoch == 4
    with pytest.raises(ProjectionError, match="Tandem-Epoch"):
        read_event({**message.headers, "Tandem-Epoch": "x"}, message.body)


async def test_an_adopted_event_takes_the_place_of_the_one_that_the_source_lost() -> None:
    """The same order and version in two histories, both recorded in the first: without the header a conflict."""
    store, order_id = MemoryStore(), str(uuid.uuid4())
    lost, kept = published(an_order(order_id, 2)), published(an_order(order_id, 2))
    for message, headers in ((lost, {"Tandem-Epoch": "1"}), (kept, {"Tandem-Epoch": "2"})):
        (outcome,) = await store.apply([project(read_event({**message.headers, **headers}, message.body))])
        assert isinstance(outcome, Applied)
    (stored,) = await store.orders([order_id])
    assert stored.document is not None
    assert (stored.document["source_epoch"], stored.document["event_id"]) == (2, kept.event_id)
    (outcome,) = await MemoryStore.apply(store, [project(read_event(lost.headers, lost.body))])
    assert isinstance(outcome, Applied)  # what is older is no error, and changes nothing
    (stored,) = await store.orders([order_id])
    assert stored.document is not None
    assert stored.document["event_id"] == kept.event_id


def parts_of(body: bytes) -> tuple[Payload, PersonalData]:
    read = read_body(body)
    return read_payload(read.payload, 1), read_personal_data(read.personal or "{}")


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "payload"),
        (b"[]", "payload"),
        (b"\xff", "body"),
        (b'{"headers":{},"payload":{}', "body"),
        (b'{"headers":{},"payload"', "body"),
        (b'{"headers":{', "headers"),
        (b'{"headers":null,"payload":1,"personal":null,"salt":""}', "payload"),
        (b'{"headers":null,"payload":{},"personal":1,"salt":""}', "personal"),
        (b'{"headers":null,"payload":{},"personal":null,"salt":5}', "salt"),
        (b'{"headers":null,"payload":{},"personal":null,"salt":""}}', "body"),
        (b'{"headers":null,"payload":{},"personal":null}', "body"),
        (b'{"headers":null,"payload":{"a":NaN},"personal":null,"salt":""}', "payload"),
        (b'{"headers":null,"payload":' + b"[" * 100_000, "payload"),
        (b'{"headers":null,"payload":{},"personal":{},"salt":', "salt"),
        (b'{"headers":null,"payload":{},"personal":{},"salt":"ab"}}', "body"),
        (b'{"headers":null,"payload":{},"personal":{"a":NaN},"salt":"ab"}', "personal"),
        (b'{"headers":null,"payload":{}}{},"personal":{},"salt":"ab"}', "body"),
        (b'{"headers":null,"payload":{"actor":"\\ud800"},"personal":{},"salt":"ab"}', "body"),
    ],
)
def test_a_broken_body_names_its_part(body: bytes, named: str) -> None:
    with pytest.raises(ProjectionError, match=f"^{named}: ") as refusal:
        parts_of(body)
    assert refusal.value.reason is Unprojectable.MALFORMED


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("ce-subject", None),
        ("ce-subject", "order-1"),
        ("ce-id", "7"),
        ("ce-type", None),
        ("ce-time", "yesterday"),
        ("ce-time", "2026-05-01T00:00:00"),
        ("Tandem-Version", "0"),
        ("Tandem-Version", "-1"),
        ("Tandem-Version", "9" * 5000),
        ("Tandem-Version", str(2**40)),
        ("Tandem-Aggregate", None),
        ("Tandem-Position", "x"),
        ("Tandem-Recorded-After", "1.5"),
        ("Tandem-Recorded-After", "9" * 19),
        ("Tandem-Hash", None),
        ("Tandem-Hash", "ab" * 32),
        ("Tandem-Hash", "A" * 42 + "+!"),
        ("Tandem-Personal-Digest", ""),
        ("Tandem-Personal-Digest", "A" * 42),
    ],
)
def test_a_broken_header_is_refused(header: str, value: str | None) -> None:
    message = published(an_order(), header_changes={header: value})
    with pytest.raises(ProjectionError) as refusal:
        read_event(message.headers, message.body)
    assert refusal.value.reason is Unprojectable.MALFORMED


@pytest.mark.parametrize(
    "recorded",
    [
        "{",
        "[]",
        '{"schema_version":"1"}',
        '{"schema_version":"1","source_epoch":1}',
        '{"schema_version":"1","source_epoch":"8192"}',
        '{"source_epoch":"1"}',
    ],
)
def test_broken_recorded_headers_are_refused(recorded: str) -> None:
    message = published(an_order(), recorded_headers=recorded)
    with pytest.raises(ProjectionError) as refusal:
        read_event(message.headers, message.body)
    assert refusal.value.reason is Unprojectable.MALFORMED


@pytest.mark.parametrize(
    "changes",
    [{"orderVersion": "2"}, {"orderId": "00000000-0000-0000-0000-000000000000"}, {"eventId": "x"}, {"eventType": "X"}],
)
def test_headers_and_payload_must_agree(changes: dict[str, str]) -> None:
    message = published(an_order(), payload_changes=changes)
    with pytest.raises(ProjectionError) as refusal:
        read_event(message.headers, message.body)
    assert refusal.value.reason is Unprojectable.CONTRADICTORY


def test_a_message_with_a_broken_body_still_tells_whose_it_is() -> None:
    message = published(an_order(version=4))
    assert addressee(message.headers) == (message.order_id, 4)
    assert addressee({}) is None


def test_a_barrier_is_told_from_an_event() -> None:
    headers = barrier_headers(START, source_epoch=2)
    assert is_barrier(headers)
    assert not is_barrier(published(an_order()).headers)
    barrier = read_barrier(headers)
    assert (barrier.time, barrier.source_epoch) == (int(START.timestamp()) * 1_000_000, 2)


def test_a_barrier_may_say_nothing_about_time() -> None:
    headers = {"Tandem-Epoch": "1", "Tandem-Term": "4"}
    assert is_barrier(headers)
    assert read_barrier(headers).time is None


@pytest.mark.parametrize("header", ["Tandem-Epoch", "Tandem-Barrier-Time"])
def test_a_broken_barrier_is_refused(header: str) -> None:
    with pytest.raises(ProjectionError, match=header):
        read_barrier({**barrier_headers(START), header: "soon"})
