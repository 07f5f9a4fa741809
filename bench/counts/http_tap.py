"""Reads the requests of one HTTP connection and their answers, as HTTP/1.1 frames them.

Some texts would make the number of bytes depend on the machine or on chance. They count as one character each: the
version of Python in the headers by which a client names itself, the milliseconds that Elasticsearch took, and the
number of a document within its segment, which Elasticsearch tells when a search is sorted by nothing.
"""

from __future__ import annotations

import platform
import re
import zlib
from collections import deque
from dataclasses import dataclass

_HEAD_END = b"\r\n\r\n"
_BY_CHANCE = re.compile(rb'("took":)\d+|("sort":\[)\d+(?=\])')
_PYTHON = platform.python_version().encode()


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request with its answer.

    `bytes_sent` are those of head and body, `bytes_received` those of the body alone, because the head depends on how
    the server is installed. Bodies count before compression.
    """

    method: str
    path: str
    bytes_sent: int
    bytes_received: int


@dataclass(slots=True)
class _Message:
    """A message with its first line. `body` is without the frames of chunks."""

    first: list[str]
    head: bytes
    body: bytes


class _Messages:
    """Cuts a stream of bytes into messages."""

    def __init__(self) -> None:
        self._data = b""

    def add(self, data: bytes) -> None:
        """Takes bytes."""
        self._data += data

    def next(self, *, bodiless: bool = False) -> _Message | None:
        """Returns the next message, or None if it is not complete. A `bodiless` one has a head only."""
        head, end, rest = self._data.partition(_HEAD_END)
        if not end:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status = first.split()[1]
        if bodiless or status in ("204", "304"):
            found: tuple[bytes, bytes] | None = b"", rest
        elif fields.get("transfer-encoding", "").lower() == "chunked":
            found = _unchunked(rest)
        else:
            length = int(fields.get("content-length", 0))
            found = (rest[:length], rest[length:]) if len(rest) >= length else None
        if found is None:
            return None
        body, self._data = found
        if fields.get("content-encoding", "") in ("gzip", "deflate"):
            body = zlib.decompress(body, zlib.MAX_WBITS | 32)
        return _Message(first.split(), head + end, body)


class HttpTraffic:
    """The exchanges of several connections so far, in the order in which they were complete."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []

    def tap(self) -> HttpTap:
        """Returns a tap for one more connection."""
        return HttpTap(self)


class HttpTap:
    """Adds the exchanges of one connection to `traffic`."""

    def __init__(self, traffic: HttpTraffic) -> None:
        self._traffic = traffic
        self._asked: deque[_Message] = deque()
        self._client, self._server = _Messages(), _Messages()

    def sent(self, data: bytes) -> None:
        """Takes bytes from the client."""
        self._client.add(data)
        while (request := self._client.next()) is not None:
            self._asked.append(request)

    def received(self, data: bytes) -> None:
        """Takes bytes from the server."""
        self._server.add(data)
        while self._asked:
            request = self._asked[0]
            method, path, *_ = request.first
            answer = self._server.next(bodiless=method == "HEAD")
            if answer is None:
                return
            self._asked.popleft()
            head = request.head.replace(_PYTHON, b"3")
            told = _BY_CHANCE.sub(rb"\1\g<2>0", answer.body)
            self._traffic.exchanges.append(Exchange(method, path, len(head) + len(request.body), len(told)))


def _unchunked(data: bytes) -> tuple[bytes, bytes] | None:
    """Returns the body of chunks and the bytes after it, or None if it is not complete."""
    body = b""
    while True:
        size, end, rest = data.partition(b"\r\n")
        if not end:
            return None
        length = int(size.partition(b";")[0], 16)
        if len(rest) < length + 2:
            return None
        body, data = body + rest[:length], rest[length + 2 :]
        if length == 0:
            return body, data
