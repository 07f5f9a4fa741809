"""A message is its row, byte for byte, or says why it cannot be one."""

import json

import pytest

from relay.events.barrier import BarrierBuilder
from relay.events.cursor import parse
from relay.events.errors import Unpublishable
from relay.events.message import MessageLimits, rfc3339
from relay.stream.jetstream_api import parse_headers
from tests.support.relay.events import EVENT, builder


def headers_of(raw: bytes) -> dict[str, str]:
    return parse_headers(b"NATS/1.0\r\n" + raw + b"\r\n")


def test_headers_and_body_of_an_event() -> None:
    built = builder().event(EVENT, "2;poll;;1:2:", "42")
    assert built.subject == b"orders.v1.17.ORDER_PAID"
    assert built.message_id == b"5:0199a0f2-0000-7000-8000-000000000001"
    assert headers_of(built.headers) == {
        "Tandem-Cursor": "2;poll;;1:2:;42",
        "Tandem-Term": "9",
        "ce-specversion": "1.0",
        "ce-datacontenttype": "application/json",
        "ce-source": "/tandem/2/outbox",
        "Tandem-Source-Epoch": "2",
        "ce-type": "ORDER_PAID",
        "Tandem-Aggregate-Type": "order",
        "ce-id": EVENT.event_id,
        "ce-subject": EVENT.aggregate_id,
        "ce-partitionkey": EVENT.aggregate_id,
        "ce-time": "1996-01-01T00:00:00.000001Z",
        "Tandem-Position": "42",
        "Tandem-Recorded-At": "2026-01-01T00:00:00.123456Z",
        "Tandem-Aggregate-Version": "3",
        "Tandem-Hash": "cd" * 32,
        "Tandem-Personal-Digest": "ab" * 32,
        "Tandem-Headers": EVENT.headers,
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    }
    assert built.body == b'{"payload":{"orderPaid":{"amount":"1.00"}},"personal":{"name":"Ada"},"salt":"00ff"}'


def test_texts_are_spliced_not_written_anew() -> None:
    odd = EVENT._replace(payload='{ "b":1.50,"a" : 1e3,"b":2 }', personal=None, salt=None)
    body = builder().event(odd, "c", "1").body
    assert body == b'{"payload":{ "b":1.50,"a" : 1e3,"b":2 },"personal":null,"salt":""}'
    assert builder(splices_personal=False).event(odd, "c", "1").body == odd.payload.encode()  # type: ignore[union-attr]
    assert builder(splices_personal=False).event(EVENT._replace(payload=b"\x00\xff"), "c", "1").body == b"\x00\xff"
    assert builder(splices_personal=False).event(EVENT._replace(payload=None), "c", "1").body == b""


def test_a_foreign_row_has_fewer_headers() -> None:
    foreign = EVENT._replace(
        aggregate_version=None, partition=None, headers=None, hash=None, personal_digest=None, occurred_at=None
    )
    built = builder(splices_personal=False).event(foreign, "c", "1")
    headers = headers_of(built.headers)
    assert headers["ce-time"] == headers["Tandem-Recorded-At"]
    assert not {"Tandem-Aggregate-Version", "Tandem-Hash", "Tandem-Headers", "traceparent"} & headers.keys()
    partition = int(built.subject.split(b".")[2])
    assert 0 <= partition < 64
    assert built.subject == builder().event(foreign._replace(event_id="another"), "c", "1").subject


@pytest.mark.parametrize("json_roles", [frozenset[str](), frozenset({"headers"})])
@pytest.mark.parametrize("indent", [2, "\t", None])
def test_line_breaks_between_json_tokens_become_blanks(json_roles: frozenset[str], indent: int | str | None) -> None:
    pretty = json.dumps({"actor": "ä\nö", "n": 1}, indent=indent, ensure_ascii=False).replace(": ", ":\r\n")
    headers = headers_of(builder(json_roles=json_roles).event(EVENT._replace(headers=pretty), "c", "1").headers)
    assert json.loads(headers["Tandem-Headers"]) == {"actor": "ä\nö", "n": 1}


@pytest.mark.parametrize("traceparent", ["evil\\r\\nX: y", "00-00", 7, None])
def test_a_wrong_traceparent_is_not_copied(traceparent: object) -> None:
    event = EVENT._replace(headers=json.dumps({"traceparent": traceparent}))
    headers = headers_of(builder().event(event, "c", "1").headers)
    assert "traceparent" not in headers


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
        ("occurred_at", 1 << 62, "years"),
        ("payload", "x" * 100_000, "bytes"),
        ("headers", '"' + "x" * 70_000 + '"', "headers"),
        ("payload", b"bytes", "spliced"),
    ],
)
def test_what_no_stream_could_take_is_named(field: str, value: object, reason: str) -> None:
    limited = builder(limits=MessageLimits(100_000))
    with pytest.raises(Unpublishable, match=reason):
        limited.event(EVENT._replace(**{field: value}), "c", "1")  # type: ignore[arg-type]
    limited.event(EVENT, "c", "1")


def test_values_of_plain_roles_are_not_looked_at() -> None:
    plain = builder(plain_roles=frozenset({"event_id", "aggregate_id", "hash", "personal_digest"}))
    assert plain.event(EVENT, "c", "1") == builder().event(EVENT, "c", "1")
    some = builder(plain_roles=frozenset({"event_id", "hash"}))
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
        "Tandem-Source-Epoch": "2",
        "Tandem-Barrier-Time": "2026-01-01T00:00:00.000001Z",
    }
    assert (short.subject, short.body, short.position) == (b"orders.v1.barrier", b"", None)
    base = "2;poll;1:9000:" + ",".join(map(str, range(1, 5000))) + ";9001:9002:"
    long = barriers.barrier(parse(base + ";17"), None)
    assert headers_of(long.headers)["Tandem-Cursor"] == "2;poll;@body;17"
    assert "Tandem-Barrier-Time" not in headers_of(long.headers)
    assert json.loads(long.body) == {"cursor": base + ";17"}
    assert long.message_id != short.message_id
