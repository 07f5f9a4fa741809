"""What the taps read from the bytes of a connection, whichever way these are cut into pieces."""

from __future__ import annotations

import platform
import struct
import zlib

import pytest

from bench.counts.http_tap import Exchange, HttpTraffic
from bench.counts.nats_tap import Message, NatsTraffic
from bench.counts.postgres_tap import PostgresTap
from bench.counts.tcp_proxy import Tap

STEPS = (1, 3, 7, 10_000)


def feed(tap: Tap, sent: bytes, received: bytes, step: int) -> None:
    """Shows both directions to a tap, `step` bytes at a time."""
    for show, data in ((tap.sent, sent), (tap.received, received)):
        for at in range(0, len(data), step):
            show(data[at : at + step])


def of_postgres(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


@pytest.mark.parametrize("step", STEPS)
def test_statements_and_round_trips(step: int) -> None:
    startup = struct.pack("!II", 8 + 12, 196_608) + b"user\0tandem\0"
    prepared = [of_postgres(kind, b"E" * size) for kind, size in ((b"B", 70), (b"D", 2), (b"E", 5), (b"S", 0))]
    sent = startup + of_postgres(b"Q", b"BEGIN\0") + of_postgres(b"P", b"S") + b"".join(prepared)
    tap = PostgresTap()
    feed(tap, sent, of_postgres(b"C", b"BEGIN\0") + 2 * of_postgres(b"Z", b"T"), step)
    assert (tap.statements, tap.parsed, tap.round_trips) == (2, 2, 2)
    assert (tap.bytes_sent, tap.bytes_received) == (len(sent), 23)


@pytest.mark.parametrize("step", STEPS)
def test_messages_of_nats(step: int) -> None:
    header = b"NATS/1.0\r\nA: 1\r\n\r\n"
    sent = b"CONNECT {}\r\nPING\r\nPUB a.b 5\r\nPUB x\r\nHPUB a.c _INBOX.1 18 20\r\n" + header + b"{}\r\n"
    traffic = NatsTraffic()
    feed(traffic.tap(), sent, b'INFO {}\r\n+OK\r\nMSG _INBOX.1 7 9\r\n{"seq":1}\r\n', step)
    assert traffic.published == [Message("a.b", "", 0, 5, b"PUB x"), Message("a.c", "_INBOX.1", 18, 20, b"{}")]
    assert traffic.got == [Message("_INBOX.1", "", 0, 9, b'{"seq":1}')]


def answers(took: int) -> bytes:
    told = b'{"took":%d,"sort":[%d]}' % (took, took)
    chunks = b"%x\r\n%b\r\n1\r\n \r\n0\r\n\r\n" % (len(told), told)
    packed = zlib.compress(told)
    return (
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(told), told)
        + b"HTTP/1.1 200 OK\r\n\r\n"
        + b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunks
        + b"HTTP/1.1 200 OK\r\ncontent-encoding: deflate\r\ncontent-length: %d\r\n\r\n%b" % (len(packed), packed)
    )


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("took", [3, 12_345])
def test_exchanges_over_http(step: int, took: int) -> None:
    post = b"POST /_bulk HTTP/1.1\r\nUser-Agent: Python/%b\r\nContent-Length: 2\r\n\r\n{}"
    version = platform.python_version().encode()
    rest = b"".join(b"%b /%b HTTP/1.1\r\n\r\n" % (kind, kind) for kind in (b"HEAD", b"GET", b"PUT"))
    traffic = HttpTraffic()
    feed(traffic.tap(), post % version + rest, answers(took), step)
    assert traffic.exchanges == [
        Exchange("POST", "/_bulk", len(post % b"3"), 21),
        Exchange("HEAD", "/HEAD", 23, 0),
        Exchange("GET", "/GET", 21, 22),
        Exchange("PUT", "/PUT", 21, 21),
    ]
