"""An HTTP answer is read the same however its bytes are cut, and nothing else is taken for one."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest

from query_service.storage.physical.http import answers
from query_service.storage.physical.http.answers import MOST_BYTES_WITHOUT_CONTENT, AnswerReader, HttpAnswer
from query_service.storage.physical.http.errors import ConnectionEnded, MalformedAnswer
from tests.support.source_mutants import Mutant, noticed

BODY = b'{"docs":[]}'
OF_LENGTH = b"HTTP/1.1 200 OK\r\nX-elastic-product: Elasticsearch\r\ncontent-length: 11\r\n\r\n" + BODY
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n"
    + BODY[:4]
    + b"\r\n7;x=y\r\n"
    + BODY[4:]
    + b"\r\n0\r\n"
)
ZIPPED = gzip.compress(BODY)
HINTS = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
ERROR_PAGE = b"HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>"
OF_ZIP = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(ZIPPED) + ZIPPED
COMPLETE = {
    "of a length": (OF_LENGTH, 200, BODY, True),
    "in chunks": (CHUNKED + b"\r\n", 200, BODY, True),
    "with a trailer": (CHUNKED + b"content-encoding: gzip\r\n\r\n", 200, BODY, True),
    "compressed": (OF_ZIP, 200, BODY, True),
    "after interim answers": (HINTS + OF_LENGTH, 200, BODY, True),
    "without a body": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    "with an empty body": (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200, b"", True),
    "the last of its connection": (OF_LENGTH.replace(b"\r\n", b"\r\nconnection: close\r\n", 1), 200, BODY, False),
    "of an old server": (OF_LENGTH.replace(b"1.1", b"1.0"), 200, BODY, False),
    "an error page": (ERROR_PAGE, 502, b"<html>", True),
}  # fmt: skip
UNTIL_CLOSED = b"HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n" + BODY


def read(*pieces: bytes, reader: AnswerReader | None = None) -> HttpAnswer:
    """The answer that ends in the last piece, and in no piece before."""
    reader = AnswerReader() if reader is None else reader
    *before, last = (reader.feed(piece) for piece in pieces)
    assert before == [None] * len(before)
    assert last is not None
    return last


@pytest.mark.parametrize("kind", COMPLETE)
def test_an_answer_is_read_however_it_is_cut(kind: str) -> None:
    data, status, body, keep = COMPLETE[kind]
    whole = read(data)
    assert (whole.status, whole.body, whole.keep) == (status, body, keep)
    assert read(*(data[at : at + 1] for at in range(len(data)))) == whole
    for cut in range(1, len(data)):
        assert read(data[:cut], data[cut:]) == whole


def test_headers_are_found_by_their_names_in_lower_case_and_joined() -> None:
    answer = read(OF_LENGTH.replace(b"\r\n", b"\r\nWarning: one\r\nWARNING: two\r\n", 1))
    assert answer.headers["x-elastic-product"] == "Elasticsearch"
    assert answer.headers["warning"] == "one, two"


def test_one_answer_after_the_other_is_read() -> None:
    reader = AnswerReader()
    for data, status, body, keep in COMPLETE.values():
        if keep:
            answer = read(data[:9], data[9:], reader=reader)
            assert (answer.status, answer.body) == (status, body)


@pytest.mark.parametrize("surplus", [OF_LENGTH, b"HTTP/1.1 500 Inte", b"x", b"\0" * 9])
def test_what_follows_an_answer_makes_the_connection_useless(surplus: bytes) -> None:
    answer = read(OF_LENGTH.replace(BODY, b'{"docs":[1]')[:-1], b"]" + surplus)
    assert (answer.body, answer.keep) == (b'{"docs":[1]', False)


def check_until_closed() -> None:
    reader = AnswerReader()
    assert reader.feed(UNTIL_CLOSED) is None
    answer = reader.end("closed")
    assert (answer.status, answer.body, answer.keep) == (200, BODY, False)


def test_the_end_of_the_connection_may_end_an_answer() -> None:
    check_until_closed()


def test_a_reset_ends_no_answer() -> None:
    reader = AnswerReader()
    assert reader.feed(UNTIL_CLOSED) is None
    with pytest.raises(ConnectionEnded, match="reset"):
        reader.end("reset", cut=True)


def check_cut(data: bytes) -> None:
    for end in range(len(data)):
        reader = AnswerReader()
        if end:
            assert reader.feed(data[:end]) is None
        with pytest.raises(ConnectionEnded, match="closed") as raised:
            reader.end("closed")
        assert raised.value.untouched == (end == 0)


@pytest.mark.parametrize("kind", ["of a length", "in chunks", "compressed", "after interim answers"])
def test_an_answer_that_is_cut_is_none(kind: str) -> None:
    check_cut(COMPLETE[kind][0])


def check_not_repeated(before: bytes) -> None:
    reader = AnswerReader()
    read(before, reader=reader)
    with pytest.raises(ConnectionEnded) as raised:
        reader.end("closed")
    assert raised.value.untouched


@pytest.mark.parametrize("kind", [kind for kind, answer in COMPLETE.items() if answer[3]])
def test_the_end_of_the_connection_does_not_repeat_the_answer_before(kind: str) -> None:
    check_not_repeated(COMPLETE[kind][0])


MALFORMED = {
    "garbage": b"\x16\x03\x01\x02\x00\x01",
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a request": b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    "a switch of protocols": b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\nx",
    "a length that is none": b"HTTP/1.1 200 OK\r\ncontent-length: eleven\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    "length and chunks": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk's size that is none": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
    "an unknown coding": OF_ZIP.replace(b"gzip", b"br", 1),
    "no gzip": OF_LENGTH.replace(b"\r\n", b"\r\ncontent-encoding: gzip\r\n", 1),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_what_is_no_answer_is_refused(kind: str) -> None:
    with pytest.raises(MalformedAnswer):
        AnswerReader().feed(MALFORMED[kind])


def endless(first: bytes, again: bytes) -> Callable[[], None]:
    def check() -> None:
        reader = AnswerReader()
        assert reader.feed(first) is None
        with pytest.raises(MalformedAnswer, match="bytes of headers"):
            read(*[again] * (2 * MOST_BYTES_WITHOUT_CONTENT // len(again)), reader=reader)

    return check


ENDLESS = {
    "headers": endless(b"HTTP/1.1 200 OK\r\n", b"x: yyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n"),
    "a header": endless(b"HTTP/1.1 200 OK\r\nx:", b"y" * 100),
    "interim answers": endless(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "trailers": endless(CHUNKED, b"x: yyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n"),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_headers_and_trailers_have_an_end(kind: str) -> None:
    ENDLESS[kind]()


def test_a_large_body_is_no_header() -> None:
    size = 4 * MOST_BYTES_WITHOUT_CONTENT
    reader = AnswerReader()
    assert reader.feed(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size) is None
    pieces = [reader.feed(b"x" * 1024) for _ in range(size // 1024)]
    assert pieces[-1] is not None
    assert len(pieces[-1].body) == size


@pytest.mark.mutant
def test_readers_without_these_guards_are_noticed() -> None:
    with noticed(Mutant(AnswerReader.end, "if self._in_body and not self._has_end", "if self._in_body")):
        check_cut(OF_LENGTH)
    with noticed(Mutant(AnswerReader.end, "not self._has_end", "False"), or_raises=(ConnectionEnded,)):
        check_until_closed()
    with noticed(Mutant(AnswerReader.end, "untouched=not self._begun", "untouched=True")):
        check_cut(OF_LENGTH)
    with noticed(Mutant(AnswerReader.on_message_begin, 'raise MalformedAnswer("an answer without a request")', "pass")):
        test_what_follows_an_answer_makes_the_connection_useless(OF_LENGTH)
    with noticed(Mutant(AnswerReader.feed, "return self._taken(keep=False)", "return self._taken(keep=True)")):
        test_what_follows_an_answer_makes_the_connection_useless(b"x")
    with noticed(Mutant(AnswerReader.on_header, "if not self._in_body", "if True"), or_raises=(MalformedAnswer,)):
        test_an_answer_is_read_however_it_is_cut("with a trailer")
    with noticed(Mutant(AnswerReader.on_message_complete, "self._in_body = False", "pass")):
        check_not_repeated(COMPLETE["without a body"][0])
    with noticed(
        Mutant(AnswerReader._taken, "self._answer, self._begun, self._without_content = None, False, 0", "pass")
    ):
        check_not_repeated(OF_LENGTH)
    with noticed(Mutant(AnswerReader.on_message_complete, ">= 200", ">= 100")):
        test_an_answer_is_read_however_it_is_cut("after interim answers")
    with noticed(Mutant(AnswerReader.feed, "self._without_content > MOST_BYTES_WITHOUT_CONTENT", "False")):
        ENDLESS["trailers"]()
    with noticed(Mutant(answers._decompressed, 'coding not in ("gzip", "x-gzip")', "False")):
        test_what_is_no_answer_is_refused("an unknown coding")
