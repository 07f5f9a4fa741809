"""Acks that are recognised without being parsed: as many as are as expected, never one more."""

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
from relay.stream.ack_run import AckRun, _Shape
from relay.stream.nats_connection import AckFirstParser
from tests.support.source_mutants import Mutant, noticed

INBOX = b"_INBOX.abc."
RUN = AckRun(INBOX, 7, "ORDERS")


def ack(sequence: int, stored_at: int | None = None, extra: bytes = b"", blank: bytes = b"") -> bytes:
    """As a NATS 2.15 writes it."""
    body = b'{"stream":"ORDERS",%b"seq":%d%b}' % (blank, sequence if stored_at is None else stored_at, extra)
    return b"MSG %b%d 7 %d\r\n%b\r\n" % (INBOX, sequence, len(body), body)


def acks(first: int, count: int) -> bytes:
    return b"".join(ack(sequence) for sequence in range(first, first + count))


def test_counts_a_run_and_its_bytes() -> None:
    data = acks(41, 5)
    assert RUN.count(data, 41, 5) == (5, len(data))
    assert RUN.count(data, 41, 3) == (3, len(acks(41, 3)))
    assert RUN.count(data + b"PING\r\n", 41, 100) == (5, len(data))
    assert RUN.count(data[:-1], 41, 5) == (4, len(acks(41, 4)))
    assert RUN.count(data, 41, 0) == (0, 0)
    assert RUN.count(b"", 41, 5) == (0, 0)
    with_blank = ack(41, blank=b" ") + ack(42, blank=b" ")
    assert RUN.count(with_blank, 41, 5) == (2, len(with_blank))


def test_a_run_ends_where_the_numbers_grow_longer() -> None:
    assert RUN.count(acks(95, 10), 95, 10) == (5, len(acks(95, 5)))
    assert RUN.count(acks(100, 3), 100, 10)[0] == 3


#: What may stand where an ack for message 12 was expected.
OTHERS = [
    ack(12, stored_at=13),
    ack(13),
    ack(12, extra=b', "duplicate": true'),
    ack(12).replace(b"ORDERS", b"OTHERS"),
    ack(12).replace(b" 7 ", b" 8 "),
    ack(12).replace(b'{"stream":"ORDERS","seq":12}', b'{"error":{"err_code":10071}}'),
    b"-ERR 'Stale Connection'\r\n",
]


@pytest.mark.parametrize("other", OTHERS)
def test_nothing_else_passes_for_an_ack(other: bytes) -> None:
    count, size = RUN.count(ack(10) + ack(11) + other + acks(13, 20), 10, 50)
    assert count <= 2
    assert size == len(acks(10, count))
    assert RUN.count(other + acks(13, 20), 12, 50) == (0, 0)


def check_never_more_than_there_are(first: int, good: int, bad: int, most: int) -> None:
    data = acks(first, good) + acks(first + good + 1 + bad, 5)
    count, size = RUN.count(data, first, most)
    assert count <= min(good, most)
    assert data[:size] == acks(first, count)


@given(first=st.integers(1, 10**6), good=st.integers(0, 30), bad=st.integers(0, 200), most=st.integers(0, 40))
def test_never_more_than_there_are(first: int, good: int, bad: int, most: int) -> None:
    check_never_more_than_there_are(first, good, bad, most)


class Receiver:
    """Counts good acks, keeps what the parser hands over."""

    def __init__(self, first: int, count: int) -> None:
        self.first, self.left = first, count
        self.parsed: list[bytes] = []

    def awaited(self) -> tuple[int, int]:
        return self.first, self.left

    def on_acks(self, count: int) -> None:
        self.first += count
        self.left -= count

    def on_ack(self, subject: bytes, body: bytes, headers: bytes | None) -> None:
        self.parsed.append(body)
        if subject == INBOX + b"%d" % self.first:
            self.on_acks(1)

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
    receiver = Receiver(90, 31)
    connection = Connection(receiver)
    parser = AckFirstParser(Parser(connection), RUN, receiver.awaited, receiver)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        await parser.parse(data[start:end])
    assert receiver.first == 121
    assert connection.pings == 2
    assert receiver.parsed[-1] == b'{"error":{"err_code":10071 }}'


@given(cuts=st.lists(st.integers(0, 4_000), max_size=12))
async def test_however_the_bytes_are_cut_each_ack_is_taken_once_and_nothing_is_lost(cuts: list[int]) -> None:
    await check_cut(cuts)


async def test_most_of_a_run_never_meets_the_parser() -> None:
    receiver = Receiver(990, 500)
    parser = AckFirstParser(Parser(Connection(receiver)), RUN, receiver.awaited, receiver)
    data = acks(990, 500)
    for start in range(0, len(data), 4_096):
        await parser.parse(data[start : start + 4_096])
    assert receiver.left == 0
    assert receiver.parsed == []


#: What would be counted wrongly → the mutant.
MISCOUNTS = {
    "all that follow a good one": Mutant(_Shape.count, "data.startswith(one * count % tuple(numbers))", "True"),
    "acks that nobody waits for": Mutant(_Shape.count, "most, ", ""),
    "acks of other subscriptions": Mutant(_Shape.__init__, "(inbox, sid)", "(inbox, 8)"),
}


@pytest.mark.mutant
@pytest.mark.parametrize("miscount", MISCOUNTS)
def test_a_miscount_is_noticed(miscount: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with noticed(MISCOUNTS[miscount]):
        monkeypatch.setitem(globals(), "RUN", AckRun(INBOX, 7, "ORDERS"))
        test_counts_a_run_and_its_bytes()
        test_a_run_ends_where_the_numbers_grow_longer()
        for other in OTHERS:
            test_nothing_else_passes_for_an_ack(other)
        check_never_more_than_there_are(95, 3, 1, 10)


#: What would become of bytes that arrive in pieces → the mutant.
LOSSES = {
    "a piece is forgotten": Mutant(AckFirstParser.parse, "self._held = data\n", 'self._held = b""\n'),
    "a piece is taken twice": Mutant(AckFirstParser.parse, 'self._held + data, b""', "self._held + data, self._held"),
    "what the library has begun is forgotten": Mutant(AckFirstParser.parse, "bytes(self._parser.buf) + ", ""),
    "counted acks are parsed too": Mutant(AckFirstParser.parse, "data = data[found[1] :]", "pass"),
    "pieces are not put together": Mutant(AckFirstParser.parse, "self._run.incomplete(data)", "False"),
}


@pytest.mark.mutant
@pytest.mark.parametrize("loss", LOSSES)
async def test_bytes_that_are_lost_or_doubled_are_noticed(loss: str) -> None:
    with noticed(LOSSES[loss], or_raises=(ProtocolError,)):
        await test_most_of_a_run_never_meets_the_parser()
        for size in (1, 7, 40, 56, 57, 1_000):
            await check_cut(range(size, 4_000, size))
