"""Acks that are recognised without the parser: those that say nothing but that a message is stored."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client
from nats.errors import ProtocolError
from nats.protocol.parser import Parser

from relay.events.errors import Refused
from relay.stream.nats_connection import AckFirstParser
from relay.stream.plain_acks import PlainAcks
from tests.support.source_mutants import Mutant, noticed

INBOX = b"_INBOX.abc."
PLAIN = PlainAcks(INBOX, 7, "ORDERS")


def ack(sequence: int, stored_at: int | None = None, extra: bytes = b"", blank: bytes = b"") -> bytes:
    """As a NATS 2.15 writes it."""
    body = b'{"stream":"ORDERS",%b"seq":%d%b}' % (blank, sequence if stored_at is None else stored_at, extra)
    return b"MSG %b%d 7 %d\r\n%b\r\n" % (INBOX, sequence, len(body), body)


def acks(first: int, count: int) -> bytes:
    return b"".join(ack(sequence) for sequence in range(first, first + count))


def test_takes_plain_acks_and_leaves_the_rest() -> None:
    data = acks(98, 5)
    taken = [(number, number) for number in range(98, 103)]
    assert PLAIN.taken(data) == (taken, b"")
    assert PLAIN.taken(data + b"PING\r\n") == (taken, b"PING\r\n")
    assert PLAIN.taken(data + data[:-1]) == ([*taken, *taken[:-1]], ack(102)[:-1])
    assert PLAIN.taken(b"") == ([], b"")
    assert PLAIN.taken(ack(41, blank=b" ") + ack(42)) == ([(41, 41), (42, 42)], b"")
    assert PLAIN.taken(ack(41, stored_at=43)) == ([(41, 43)], b"")


#: What is no plain ack for a message of ours.
OTHERS = [
    ack(12, extra=b', "duplicate": true'),
    ack(12, extra=b',"batch":"B","count":3'),
    ack(12).replace(b"ORDERS", b"OTHERS"),
    ack(12).replace(b" 7 ", b" 8 "),
    ack(12).replace(b"abc", b"abd"),
    ack(12).replace(b'{"stream":"ORDERS","seq":12}', b'{"error":{"err_code":10071}}'),
    b"-ERR 'Stale Connection'\r\n",
]


@pytest.mark.parametrize("other", OTHERS)
def test_nothing_else_passes_for_an_ack(other: bytes) -> None:
    assert PLAIN.taken(ack(10) + ack(11) + other + acks(13, 2)) == ([(10, 10), (11, 11)], other + acks(13, 2))
    assert PLAIN.taken(other + acks(13, 2)) == ([], other + acks(13, 2))


class Receiver:
    """Keeps the plain acks, and what the parser hands over."""

    def __init__(self) -> None:
        self.stored: list[int] = []
        self.parsed: list[bytes] = []

    def on_plain_ack(self, number: int, sequence: int) -> None:
        assert number == sequence
        self.stored.append(number)

    def on_ack(self, subject: bytes, body: bytes, headers: bytes | None) -> None:
        self.parsed.append(body)
        if subject != INBOX + b"120":
            self.stored.append(int(subject.removeprefix(INBOX)))

    def on_denied(self, denial: Refused) -> None:
        raise denial


class Connection(Client):
    """A client without a server, whose messages all go to the receiver."""

    def __init__(self, receiver: Receiver) -> None:
        super().__init__()
        self.receiver = receiver
        self.pings = 0

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        self.receiver.on_ack(subject, data, headers)

    async def _process_ping(self) -> None:
        self.pings += 1


async def check_cut(cuts: Iterable[int]) -> None:
    refusal = ack(120).replace(b'{"stream":"ORDERS","seq":120}', b'{"error":{"err_code":10071 }}')
    data = acks(90, 20) + b"PING\r\n" + acks(110, 10) + b"PING\r\n" + refusal
    receiver = Receiver()
    connection = Connection(receiver)
    parser = AckFirstParser(Parser(connection), PLAIN, receiver)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        await parser.parse(data[start:end])
    assert receiver.stored == list(range(90, 120))
    assert connection.pings == 2
    assert receiver.parsed[-1] == b'{"error":{"err_code":10071 }}'


@given(cuts=st.lists(st.integers(0, 4_000), max_size=12))
async def test_however_the_bytes_are_cut_each_ack_is_taken_once_and_nothing_is_lost(cuts: list[int]) -> None:
    await check_cut(cuts)


async def test_plain_acks_never_meet_the_parser() -> None:
    receiver = Receiver()
    parser = AckFirstParser(Parser(Connection(receiver)), PLAIN, receiver)
    data = acks(990, 500)
    for start in range(0, len(data), 4_096):
        await parser.parse(data[start : start + 4_096])
    assert receiver.stored == list(range(990, 1_490))
    assert receiver.parsed == []


#: What would pass for a plain ack → the mutant.
CONFUSED = {
    "acks of another subscription": Mutant(PlainAcks.__init__, r"(\d{1,20}) %d \d+", r"(\d{1,20}) \d(?#%d) \d+"),
    "acks of another stream": Mutant(PlainAcks.__init__, "(head, sid, name)", "(head, sid, b'[A-Z]+')"),
    "acks that say more": Mutant(PlainAcks.__init__, r'"seq":(\d{1,20})\}', r'"seq":(\d{1,20})[^\r]*'),
}


@pytest.mark.mutant
@pytest.mark.parametrize("confused", CONFUSED)
def test_other_answers_that_pass_are_noticed(confused: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with noticed(CONFUSED[confused]):
        monkeypatch.setitem(globals(), "PLAIN", PlainAcks(INBOX, 7, "ORDERS"))
        for other in OTHERS:
            test_nothing_else_passes_for_an_ack(other)


#: What would become of bytes that arrive in pieces → the mutant.
LOSSES = {
    "a piece is forgotten": Mutant(AckFirstParser.parse, "self._held = data\n", 'self._held = b""\n'),
    "a piece is taken twice": Mutant(AckFirstParser.parse, 'self._held + data, b""', "self._held + data, self._held"),
    "what the library has begun is forgotten": Mutant(AckFirstParser.parse, "bytes(self._parser.buf) + ", ""),
    "plain acks are parsed too": Mutant(AckFirstParser.parse, "acks, data = ", "acks, _ = "),
    "pieces are not put together": Mutant(AckFirstParser.parse, "self._plain.incomplete(data)", "False"),
}


@pytest.mark.mutant
@pytest.mark.parametrize("loss", LOSSES)
async def test_bytes_that_are_lost_or_doubled_are_noticed(loss: str) -> None:
    with noticed(LOSSES[loss], or_raises=(ProtocolError,)):
        await test_plain_acks_never_meet_the_parser()
        for size in (1, 7, 40, 56, 57, 1_000):
            await check_cut(range(size, 4_000, size))
