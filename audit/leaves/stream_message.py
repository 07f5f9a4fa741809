"""Reads a message of the stream: an event as it was recorded, and the source epoch in which it was published.

The relay splices the body from the recorded texts. Here they are cut out again, and not parsed and written anew,
because the hash covers the exact text.
"""

from __future__ import annotations

import hashlib
import json
import re
from binascii import a2b_base64
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple
from urllib.parse import unquote
from uuid import UUID

from audit.leaves.hash_chain import RecordedEvent, microseconds

EPOCH_HEADER, VERSION_HEADER = "Tandem-Epoch", "Tandem-Version"
_DIGEST_HEADER = "Tandem-Personal-Digest"
_OPENING, _PAYLOAD, _PERSONAL, _SALT = '{"headers":', ',"payload":', ',"personal":', ',"salt":'
_FROM_URL_SAFE = str.maketrans("-_", "+/")
_MICROSECONDS = re.compile(r"-?\d{1,18}", re.ASCII)
_DECODER = json.JSONDecoder()
_HIGHEST = 2**63 - 1


class UnfitMessage(ValueError):  # noqa: N818 - says what is wrong
    """A message cannot be read as an event. The message says why."""


class Cut(NamedTuple):
    """The recorded texts that were cut out of a body. `salt` is hexadecimal."""

    headers: str
    payload: str
    personal: str | None
    salt: str | None


class StreamMessage(NamedTuple):
    """A message: its sequence in the stream, the headers by name, and the body."""

    sequence: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_event(self) -> bool:
        """Whether the message says to be an event. Others are barriers and other remarks of the relay."""
        return "ce-id" in self.headers

    @property
    def content(self) -> bytes:
        """The bytes that identify the message: what it says of itself, and its body."""
        kept = sorted(f"{name}: {value}\n" for name, value in self.headers.items() if name.startswith("ce-"))
        return "".join(kept).encode() + self.body


def source_epoch(message: StreamMessage) -> int | None:
    """Returns the source epoch in which the message was published; None if it does not say it."""
    value = message.headers.get(EPOCH_HEADER, "")
    return int(value) if value.isascii() and value.isdigit() and len(value) <= 18 else None


def claimed_ids(message: StreamMessage) -> tuple[UUID | None, UUID | None, int | None]:
    """Returns event id, order id and version as the headers claim them; None for one that cannot be read."""
    found: list[UUID | None] = []
    for name in ("ce-id", "ce-subject"):
        try:
            found.append(UUID(_text(message.headers, name)))
        except (UnfitMessage, ValueError):
            found.append(None)
    try:
        version = _number(message.headers, VERSION_HEADER)
    except UnfitMessage:
        version = None
    return found[0], found[1], version


def recorded_events(message: StreamMessage) -> Iterator[RecordedEvent]:
    """Yields the event as it can be cut out of the message: first the quick way, then by parsing, if that differs.

    The quick way searches for the separators, which a field of the payload may match. Only the hash tells which cut is
    right. Raises UnfitMessage.
    """
    try:
        text = message.body.decode()
    except UnicodeDecodeError:
        raise UnfitMessage("its body is no UTF-8") from None
    quick = _quick_cut(text)
    if quick is not None:
        yield _event(message.headers, quick)
    parsed = _parsed_cut(text)
    if parsed != quick:
        yield _event(message.headers, parsed)


def _event(headers: Mapping[str, str], cut: Cut) -> RecordedEvent:
    try:
        occurred_at = microseconds(datetime.fromisoformat(_header(headers, "ce-time")))
        salt = bytes.fromhex(cut.salt) if cut.salt else None
        return RecordedEvent(
            event_id=UUID(_text(headers, "ce-id")),
            aggregate_type=_text(headers, "Tandem-Aggregate"),
            order_id=UUID(_text(headers, "ce-subject")),
            version=_number(headers, VERSION_HEADER),
            event_type=_text(headers, "ce-type"),
            occurred_at=occurred_at,
            recorded_at=occurred_at + _difference(headers, "Tandem-Recorded-After"),
            headers=cut.headers,
            payload=cut.payload,
            personal=cut.personal,
            salt=salt,
            personal_digest=_personal_digest(headers, cut.personal, salt),
            hash=_digest(headers, "Tandem-Hash"),
        )
    except UnfitMessage:
        raise
    except (ValueError, TypeError) as error:
        raise UnfitMessage(f"a header cannot be read: {error}") from None


def _quick_cut(text: str) -> Cut | None:
    start = text.find(_PAYLOAD)
    first, last = text.find(_PERSONAL, start), text.rfind(_SALT)
    if not text.startswith(_OPENING) or not 0 < start < first < last or not text.endswith('"}'):
        return None
    personal = text[first + len(_PERSONAL) : last]
    salt = text[last + len(_SALT) + 1 : -2]
    payload = text[start + len(_PAYLOAD) : first]
    return Cut(text[len(_OPENING) : start], payload, None if personal == "null" else personal, salt or None)


def _parsed_cut(text: str) -> Cut:
    """Cuts a body by parsing it. Raises UnfitMessage."""
    parts: list[str] = []
    end = 0
    for separator in (_OPENING, _PAYLOAD, _PERSONAL, _SALT):
        if not text.startswith(separator, end):
            raise UnfitMessage("its body has not the parts headers, payload, personal and salt")
        start = end + len(separator)
        try:
            _, end = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            raise UnfitMessage("its body is no JSON") from None
        parts.append(text[start:end])
    if text[end:] != "}":
        raise UnfitMessage("its body has more after the salt")
    headers, payload, personal, salt = parts
    return Cut(headers, payload, None if personal == "null" else personal, salt.strip('"') or None)


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name)
    if not value:
        raise UnfitMessage(f"the header {name} is missing")
    return value


def _text(headers: Mapping[str, str], name: str) -> str:
    value = _header(headers, name)
    return unquote(value) if "%" in value else value


def _number(headers: Mapping[str, str], name: str) -> int:
    value = _header(headers, name)
    if not (value.isascii() and value.isdigit() and len(value) <= 19 and 0 < int(value) <= _HIGHEST):
        raise UnfitMessage(f"the header {name} is no number")
    return int(value)


def _difference(headers: Mapping[str, str], name: str) -> int:
    """Returns the microseconds in a header, which may be negative; 0 without it."""
    value = headers.get(name, "0")
    if not _MICROSECONDS.fullmatch(value):
        raise UnfitMessage(f"the header {name} is no number of microseconds")
    return int(value)


def _personal_digest(headers: Mapping[str, str], personal: str | None, salt: bytes | None) -> bytes:
    """Returns the digest of the personal data. The relay leaves out one that is what the data gives."""
    if _DIGEST_HEADER in headers or personal is None or salt is None:
        return _digest(headers, _DIGEST_HEADER)
    return hashlib.sha256(salt + personal.encode()).digest()


def _digest(headers: Mapping[str, str], name: str) -> bytes:
    """Returns 32 bytes that are base64url without padding."""
    try:
        value = a2b_base64(_header(headers, name).translate(_FROM_URL_SAFE) + "=", strict_mode=True)
    except ValueError as error:
        raise UnfitMessage(f"the header {name} cannot be read: {error}") from None
    if len(value) != 32:
        raise UnfitMessage(f"the header {name} has {len(value)} bytes and must have 32")
    return value
