"""A message is its row, byte for byte, or says why it cannot be one."""

import hashlib
import json

import pytest

from relay.events.barrier import BarrierBuilder
from relay.events.cursor import parse
from relay.events.errors import Unpublishable
from relay.events.message import MessageLimits, rfc3339
from relay.stream.jetstream_api import parse_headers
from relay.stream.publish_policy import chain_frames
from tests.support.relay.events import BYTES, EVENT, builder


def headers_of(raw: bytes) -> dict[str, str]:
    return parse_headers(b"NATS/1.0\r\n" + raw + b"\r\n")


def test_headers_and_body_of_an_event() -> None:
    built = builder(byte_roles=BYTES).event(EVENT, "2;poll;;1:2:", "42")
    assert built.subject == b"orders.v1.17.ORDER_PAID"
    assert built.message_id == b"5.2:42"
    assert headers_of(built.headers) == {
        "Tandem-Cursor": "2;poll;;1:2:;42",
        "Tandem-Term": "9",
        "ce-specversion": "1.0",
        "ce-source": "/tandem/2/outbox",
        "Tandem-Epoch": "2",
        "ce-type": "ORDER_PAID",
        "Tandem-Aggregate": "order",
        "ce-id": EVENT.event_id,
        "ce-subject": EVENT.aggregate_id,
        "ce-time": "1996-01-01T00:00:00.000001Z",
        "Tandem-Recorded-After": "946771200123455",
        "Tandem-Position": "42",
        "Tandem-Version": "3",
        "Tandem-Hash": "zc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc0",
        "Tandem-Personal-Digest": "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s",
    }
    assert EVENT.headers is not None
    rest = b',"payload":{"orderPaid":{"amount":"1.00"}},"personal":{"name":"Ada"},"salt":"00ff"}'
    assert built.body == b'{"headers":' + EVENT.headers.encode() + rest


def test_what_names_a_barrier_leaves_the_term_to_it() -> None:
    headers = headers_of(builder().event(EVENT, "@17", "0/1A:2:901:3").headers)
    assert headers["Tandem-Cursor"] == "@17;0/1A:2:901:3"
    assert "Tandem-Term" not in headers


@pytest.mark.parametrize("difference", [0, 1, -1, 10**15, -(10**15)])
def test_the_time_of_the_record_is_exact_to_the_microsecond(difference: int) -> None:
    occurred_at = 1_767_225_600_000_001
    event = EVENT._replace(occurred_at=occurred_at, recorded_at=occurred_at + difference)
    headers = headers_of(builder().event(event, "c", "1").headers)
    assert headers["ce-time"] == rfc3339(occurred_at)
    assert headers.get("Tandem-Recorded-After") == (str(difference) if difference else None)


ORDER = EVENT._replace(
    hash=hashlib.sha256(b"any").hexdigest(),
    headers=json.dumps({"actor": "anonymous", "request_id": EVENT.event_id, "schema_version": "1"}),
    personal_digest=hashlib.sha256(b"\0\xff" + b'{"name":"Ada"}').hexdigest(),
    occurred_at=EVENT.recorded_at,
)


def test_the_digest_that_the_personal_data_gives_is_left_out() -> None:
    made = builder(byte_roles=BYTES)
    assert "Tandem-Personal-Digest" not in headers_of(made.event(ORDER, "c", "1").headers)
    changed = ORDER._replace(personal='{"name":"Eve"}')
    erased = ORDER._replace(personal=None, salt=None)
    for event in (changed, erased, ORDER._replace(salt=None), ORDER._replace(salt="00fe")):
        assert len(headers_of(made.event(event, "c", "1").headers)["Tandem-Personal-Digest"]) == 43
    as_text = builder(byte_roles=frozenset({"hash"})).event(ORDER, "c", "1")
    assert headers_of(as_text.headers)["Tandem-Personal-Digest"] == ORDER.personal_digest


def test_the_headers_of_an_order_are_few_bytes() -> None:
    """As the sink sends it in a chain. All numbers have seven digits; each digit more of all of them is six bytes."""
    some = builder(byte_roles=BYTES, publish_epoch=1, source_epoch=1)
    event = ORDER._replace(position=1_234_567, event_type="ORDER_CREATED")
    message = some.event(event, "@1234567", "1A/2B3C4D5E:12:1234567:12")
    [frame] = chain_frames([message], 1_234_567, b"1.1:1234566", b"_INBOX.0123456789abcdef.")
    assert int(frame.split(b"\r\n", 1)[0].split(b" ")[3]) <= 520


def test_texts_are_spliced_not_written_anew() -> None:
    odd = EVENT._replace(payload='{ "b":1.50,"a" : 1e3,"b":2 }', personal=None, salt=None)
    body = builder().event(odd._replace(headers='{ "actor":\n"a" }'), "c", "1").body
    assert body == b'{"headers":{ "actor":\n"a" },"payload":{ "b":1.50,"a" : 1e3,"b":2 },"personal":null,"salt":""}'
    assert builder(splices_personal=False).event(odd, "c", "1").body == odd.payload.encode()  # type: ignore[union-attr]
    assert builder(splices_personal=False).event(EVENT._replace(payload=b"\x00\xff"), "c", "1").body == b"\x00\xff"
    assert builder(splices_personal=False).event(EVENT._replace(payload=None), "c", "1").body == b""


def test_headers_that_are_no_json_stay_out_of_the_body() -> None:
    built = builder(json_roles=frozenset()).event(EVENT._replace(headers="a=b"), "c", "1")
    assert headers_of(built.headers)["Tandem-Headers"] == "a=b"
    assert json.loads(built.body)["headers"] is None


def test_a_foreign_row_has_fewer_headers() -> None:
    foreign = EVENT._replace(
        aggregate_version=None, partition=None, headers=None, hash=None, personal_digest=None, occurred_at=None
    )
    built = builder(splices_personal=False).event(foreign, "c", "1")
    headers = headers_of(built.headers)
    assert headers["ce-time"] == rfc3339(EVENT.recorded_at or 0)
    assert not {"Tandem-Version", "Tandem-Hash", "Tandem-Headers", "Tandem-Recorded-After"} & headers.keys()
    assert b'{"headers":null,"payload":' in builder().event(foreign, "c", "1").body
    partition = int(built.subject.split(b".")[2])
    assert 0 <= partition < 64
    assert built.subject == builder().event(foreign._replace(event_id="another"), "c", "1").subject


@pytest.mark.parametrize("json_roles", [frozenset[str](), frozenset({"headers"})])
@pytest.mark.parametrize("indent", [2, "\t", None])
def test_line_breaks_between_json_tokens_become_blanks(json_roles: frozenset[str], indent: int | str | None) -> None:
    pretty = json.dumps({"actor": "ä\nö", "n": 1}, indent=indent, ensure_ascii=False).replace(": ", ":\r\n")
    some = builder(json_roles=json_roles, splices_personal=False)
    headers = headers_of(some.event(EVENT._replace(headers=pretty), "c", "1").headers)
    assert json.loads(headers["Tandem-Headers"]) == {"actor": "ä\nö", "n": 1}


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("event_id", None, "null"),
        ("event_id", "a\r\nNats-Rollup: all", "control"),
        ("aggregate_id", "a\nb", "control"),
        ("aggregate_id", "", "empty"),
        ("event_type", "a b", "subject"),
        ("event_type", None, "null"),
        ("aggregate_type", "x\r\ny", "control"),
        ("recorded_at", None, "recorded_at"),
        ("recorded_at", 253_402_300_800_000_000, "years"),
        ("recorded_at", -62_135_596_800_000_001, "years"),
        ("occurred_at", 1 << 62, "years"),
        ("payload", "x" * 100_000, "bytes"),
        ("headers", '"' + "x" * 100_000 + '"', "bytes"),
        ("hash", "x" * 70_000, "headers"),
        ("payload", b"bytes", "spliced"),
    ],
)
def test_what_no_stream_could_take_is_named(field: str, value: object, reason: str) -> None:
    limited = builder(limits=MessageLimits(100_000))
    with pytest.raises(Unpublishable, match=reason):
        limited.event(EVENT._replace(**{field: value}), "c", "1")  # type: ignore[arg-type]
    limited.event(EVENT, "c", "1")


def test_values_of_plain_roles_are_not_looked_at() -> None:
    plain = builder(plain_roles=frozenset({"event_id", "aggregate_id"}))
    assert plain.event(EVENT, "c", "1") == builder().event(EVENT, "c", "1")
    some = builder(plain_roles=frozenset({"event_id"}))
    with pytest.raises(Unpublishable, match="control"):
        some.event(EVENT._replace(aggregate_id="a\r\nb"), "c", "1")
    assert b"Tandem-Hash: a b\r\n" in some.event(EVENT._replace(hash="a\nb"), "c", "1").headers


def test_times() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00.000000Z"
    assert rfc3339(-1) == "1969-12-31T23:59:59.999999Z"
    assert rfc3339(-62_135_596_800_000_000) == "0001-01-01T00:00:00.000000Z"


def test_barriers() -> None:
    barriers = BarrierBuilder("orders.v1.barrier", publish_epoch=5, term=9)
    short = barriers.barrier(parse("2;poll;;1:2:;end"), 1_767_225_600_000_001)
    assert headers_of(short.headers) == {
        "Tandem-Cursor": "2;poll;;1:2:;end",
        "Tandem-Term": "9",
        "Tandem-Epoch": "2",
        "Tandem-Barrier-Time": "2026-01-01T00:00:00.000001Z",
    }
    assert (short.subject, short.body, short.position) == (b"orders.v1.barrier", b"", None)
    base = "2;poll;1:9000:" + ",".join(map(str, range(1, 5000))) + ";9001:9002:"
    long = barriers.barrier(parse(base + ";17"), None)
    assert headers_of(long.headers)["Tandem-Cursor"] == "2;poll;@body;17"
    assert "Tandem-Barrier-Time" not in headers_of(long.headers)
    assert json.loads(long.body) == {"cursor": base + ";17"}
    assert long.message_id != short.message_id
