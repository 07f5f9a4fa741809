"""Answers of a real server (2.15.1), as recorded, and what each means."""

import pytest

from relay.events.errors import Closing
from relay.stream.ack import Ack, Nack, read_ack


def test_stored() -> None:
    assert read_ack(b'{"stream":"RLAB","seq":4}', None) == Ack(4, False, None)
    assert read_ack(b'{"stream":"RLAB","domain":"hub","seq":4}', None) == Ack(4, False, None)
    assert read_ack(b'{"stream":"RLAB","seq":5,"batch":"B2","count":2}', None) == Ack(5, False, 2)
    assert read_ack(b'{"stream":"RLAB","seq":9,"duplicate": true}', None) == Ack(9, True, None)
    assert read_ack(b"", None) is None


@pytest.mark.parametrize(
    ("answer", "closing"),
    [
        (b'{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 3"},"seq":0}', Closing.FENCED),
        (b'{"error":{"code":400,"err_code":10070,"description":"wrong last msg ID: x"},"seq":0}', Closing.FENCED),
        (b'{"error":{"code":400,"err_code":10054,"description":"message size exceeds"},"seq":0}', Closing.EVENT),
        (b'{"error":{"code":400,"err_code":10097,"description":"header size exceeds"},"seq":0}', Closing.EVENT),
        (
            b'{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"},"seq":0}',
            Closing.UNAVAILABLE,
        ),
        (b'{"error":{"code":400,"err_code":10201,"description":"duplicate message id"},"seq":0}', Closing.BATCH),
        (b'{"error":{"code":500}}', Closing.UNAVAILABLE),
        (b"gibberish", Closing.UNAVAILABLE),
        (b'{"stream":"X"}', Closing.UNAVAILABLE),
        (b"[]", Closing.UNAVAILABLE),
    ],
)
def test_refused(answer: bytes, closing: Closing) -> None:
    read = read_ack(answer, None)
    assert isinstance(read, Nack)
    assert read.closing is closing
    assert read.reason


def test_nobody_listens() -> None:
    read = read_ack(b"", b"NATS/1.0 503\r\nNats-Subject: a.b\r\n\r\n")
    assert isinstance(read, Nack)
    assert read.closing is Closing.UNAVAILABLE
    assert read.reason == "the stream has no leader at present, or no stream takes the subject (status 503)"
