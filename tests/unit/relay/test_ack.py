"""Answers of a real server (2.15.1), as recorded, and what each means."""

import pytest

from relay.events.errors import Closing
from relay.stream import ack
from relay.stream.ack import Ack, Nack, read_ack
from tests.support.source_mutants import Mutant, noticed


def test_stored() -> None:
    assert read_ack(b'{"stream":"RLAB","seq":4}', None) == Ack(4, False, None)
    assert read_ack(b'{"stream":"RLAB","domain":"hub","seq":4}', None) == Ack(4, False, None)
    assert read_ack(b'{"stream":"RLAB","seq":5,"batch":"B2","count":2}', None) == Ack(5, False, 2)
    assert read_ack(b'{"stream":"RLAB","seq":9,"duplicate": true}', None) == Ack(9, True, None)
    assert read_ack(b"", None) is None


#: Answers that are no ack → what they mean for the session.
REFUSED = [
    (b'{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 3"},"seq":0}', Closing.FENCED),
    (b'{"error":{"code":400,"err_code":10070,"description":"wrong last msg ID: x"},"seq":0}', Closing.FENCED),
    (b'{"error":{"code":400,"err_code":10054,"description":"message size exceeds"},"seq":0}', Closing.EVENT),
    (b'{"error":{"code":400,"err_code":10097,"description":"header size exceeds"},"seq":0}', Closing.EVENT),
    (
        b'{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"},"seq":0}',
        Closing.UNAVAILABLE,
    ),
    (b'{"error":{"code":400,"err_code":10201,"description":"duplicate message id"},"seq":0}', Closing.FLIGHT),
    (b'{"error":{"code":500}}', Closing.UNAVAILABLE),
    (b"gibberish", Closing.UNAVAILABLE),
    (b'{"stream":"X"}', Closing.UNAVAILABLE),
    (b"[]", Closing.UNAVAILABLE),
]


@pytest.mark.parametrize(("answer", "closing"), REFUSED)
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


#: What the relay would do → the mutant.
MISTAKES = {
    "take a fence for an outage, and go on": Mutant(ack._closing, "code in _FENCED", "False"),
    "send an event for ever that is too large": Mutant(ack._closing, "code in _EVENT", "False"),
    "wait for a batch that is refused": Mutant(ack._closing, "code in _BATCH", "False"),
    "take a refusal for an ack": Mutant(read_ack, "error is None", "True"),
    "take any answer for an ack": Mutant(read_ack, 'int(answer["seq"])', 'int(answer.get("seq", 0))'),
    "take a known message for a new one": Mutant(read_ack, 'bool(answer.get("duplicate", False))', "False"),
    "end at an answer that is no JSON": Mutant(read_ack, "(ValueError, ", "("),
    "take silence of all for the beginning of a batch": Mutant(read_ack, "headers is None", "True"),
}


@pytest.mark.mutant
@pytest.mark.parametrize("mistake", MISTAKES)
def test_an_answer_that_is_misread_is_noticed(mistake: str) -> None:
    with noticed(MISTAKES[mistake], or_raises=(ValueError, KeyError)):
        test_stored()
        test_nobody_listens()
        for answer, closing in REFUSED:
            test_refused(answer, closing)
