"""Reads the answers that arrive on a connection, however their bytes are cut into pieces.

llhttp, the parser of Node.js, reads the syntax. This module says where an answer ends when neither a length nor chunks
do, when a connection can carry another request, and how many bytes a server may send without any content.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from query_service.storage.physical.http.errors import ConnectionEnded, MalformedAnswer

#: The most bytes in a row without content: headers, interim answers, trailers.
MOST_BYTES_WITHOUT_CONTENT = 65_536
#: Statuses whose answers have no body.
_WITHOUT_BODY = frozenset({204, 304})
_TEXT = "latin-1"


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A complete answer. The names of `headers` are in lower case, and `body` is decompressed.

    `keep`: the connection can carry another request.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    keep: bool


class AnswerReader:
    """Reads one answer after the other from the bytes of one connection. It is of no use after an error."""

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self._answer: HttpAnswer | None = None
        self._headers: dict[str, str] = {}
        self._parts: list[bytes] = []
        self._begun = self._in_body = self._keep = False
        self._without_content = 0

    def feed(self, data: bytes) -> HttpAnswer | None:
        """Returns the answer that ends in `data`, or None as long as its end has not arrived.

        What arrives after that end belongs to no request, so the answer then says that the connection is of no more
        use. Raises MalformedAnswer.
        """
        self._begun = True
        self._without_content += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            raise MalformedAnswer("the server switches to another protocol") from None
        except HttpParserError as error:
            if self._answer is None:
                raise MalformedAnswer(f"the server does not speak HTTP/1.1: {error.__context__ or error}") from None
            return self._taken(keep=False)
        if self._answer is not None:
            return self._taken(keep=self._answer.keep)
        if self._without_content > MOST_BYTES_WITHOUT_CONTENT:
            raise MalformedAnswer(f"more than {MOST_BYTES_WITHOUT_CONTENT} bytes of headers or trailers")
        return None

    def end(self, reason: str, *, cut: bool = False) -> HttpAnswer:
        """Returns the answer that the end of the connection completes. Raises ConnectionEnded for one that was cut.

        `reason` is why the connection ended. `cut`: by a reset or by this side, so that the end completes nothing.
        """
        if self._in_body and not self._has_end and not cut:
            self._complete()
        if self._answer is None:
            raise ConnectionEnded(reason, untouched=not self._begun)
        return self._taken(keep=False)

    def _taken(self, *, keep: bool) -> HttpAnswer:
        answer = self._answer
        assert answer is not None
        self._answer, self._begun, self._without_content = None, False, 0
        return answer if answer.keep == keep else HttpAnswer(answer.status, answer.headers, answer.body, keep)

    @property
    def _has_end(self) -> bool:
        """Whether something else than the end of the connection ends the body."""
        return "content-length" in self._headers or "transfer-encoding" in self._headers

    # The parser calls these.

    def on_message_begin(self) -> None:
        """Begins an answer. Raises MalformedAnswer for a second one, which nobody asked for."""
        if self._answer is not None:
            raise MalformedAnswer("an answer without a request")
        self._headers, self._parts, self._in_body = {}, [], False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keeps a header. What a trailer says comes too late, and is ignored."""
        if not self._in_body:
            key, text = name.decode(_TEXT).lower(), value.decode(_TEXT)
            self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        """Notes whether the connection stays open after this answer."""
        self._in_body, self._keep = True, self._parser.should_keep_alive()

    def on_body(self, part: bytes) -> None:
        """Keeps a part of the body."""
        self._parts.append(part)
        self._without_content = 0

    def on_message_complete(self) -> None:
        """Completes the answer, unless it is an interim one (1xx) before the answer itself."""
        self._in_body = False
        if self._parser.get_status_code() >= 200:
            self._complete()

    def _complete(self) -> None:
        status = self._parser.get_status_code()
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        coding = self._headers.get("content-encoding", "identity").lower()
        if coding != "identity" and body and status not in _WITHOUT_BODY:
            body = _decompressed(body, coding)
        self._answer = HttpAnswer(status, self._headers, body, self._keep)


def _decompressed(body: bytes, coding: str) -> bytes:
    if coding not in ("gzip", "x-gzip"):
        raise MalformedAnswer(f"the answer is encoded as {coding[:40]!r}, which nobody asked for")
    try:
        return gzip.decompress(body)
    except (OSError, EOFError, zlib.error):
        raise MalformedAnswer("the answer is no gzip, as its header says") from None
