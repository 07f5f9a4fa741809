"""Ids and types of any letters reach a consumer of CloudEvents as they were recorded."""

import pytest

from query_service.projection.stream_event import text_of
from relay.events import message
from relay.events.header_value import decode
from relay.events.message import partition_of
from relay.events.subject import SubjectTemplate
from relay.stream.jetstream_api import parse_headers
from tests.support.header_values import CASES, conforming
from tests.support.relay.events import EVENT, builder

ATTRIBUTES = ("ce-id", "ce-subject", "ce-type", "Tandem-Aggregate")


def headers_of(text: str) -> dict[str, str]:
    """The headers of an event that has the text for all its ids and types."""
    named = EVENT._replace(event_id=text, aggregate_id=text, aggregate_type=text, event_type=text, partition=None)
    made = builder(template=SubjectTemplate("orders.{partition}")).event(named, "c", "1")
    assert made.subject == f"orders.{partition_of(text, 64)}".encode()  # which goes by the text, not by its encoding
    return parse_headers(b"NATS/1.0\r\n" + made.headers + b"\r\n")


@pytest.mark.parametrize(("text", "value"), CASES)
def test_a_text_is_encoded_and_every_reader_has_it_back(text: str, value: str) -> None:
    headers = headers_of(text)
    for name in ATTRIBUTES:
        assert headers[name] == value, name
        assert conforming(value) == decode(value) == text_of(headers, name) == text


def test_the_source_is_encoded_too() -> None:
    headers = builder(event_source="/my shop/50%/{source_epoch}").event(EVENT, "c", "1").headers
    assert b"ce-source: /my%20shop/50%25/2\r\n" in headers


def test_no_two_texts_have_the_same_value() -> None:
    assert len({value for _, value in CASES}) == len(CASES)


def test_a_value_that_nobody_has_encoded_is_read_as_it_is() -> None:
    for raw in ("100%", "%zz", "Müller-1"):
        assert decode(raw) == text_of({"ce-id": raw}, "ce-id") == raw
    assert text_of({}, "ce-id") == ""


@pytest.mark.mutant
def test_a_relay_that_does_not_encode_would_be_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message, "encode", lambda text: text)
    monkeypatch.setattr(message, "needs_encoding", lambda text: None)
    wrong = []
    for text, _ in CASES:
        made = builder().event(EVENT._replace(aggregate_id=text), "c", "1")
        if conforming(parse_headers(b"NATS/1.0\r\n" + made.headers + b"\r\n")["ce-subject"]) != text:
            wrong.append(text)
    assert {" X ", "50%25", "\u00a0nbsp\u00a0"} <= set(wrong)
