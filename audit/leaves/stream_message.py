"""Reads a message of the stream: an event as it was recorded, and the source epoch in which it was published.

The relay splices the body from the recorded texts. Here they are cut out again, and not parsed and written anew,
because the hash covers the exact text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple
from urllib.parse import unquote
from uuid import UUID

from audit.leaves.hash_chain import RecordedEvent, microseconds

EPOCH_HEADER = "Tandem-Source-Epoch"
_OPENING, _PERSONAL, _SALT = '{"payload":', ',"personal":', ',"salt":'
_DECODER = json.JSONDecoder()
_HIGHEST = 2**63 - 1


class UnfitMessage(ValueError):  # noqa: N818 - says what is wrong
    """A message cannot be read as an event. The message says why."""


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
        version = _number(message.headers, "Tandem-Aggregate-Version")
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
        yield _event(message.headers, *quick)
    parsed = _parsed_cut(text)
    if parsed != quick:
        yield _event(message.headers, *parsed)


def _event(headers: Mapping[str, str], payload: str, personal: str | None, salt: str | None) -> RecordedEvent:
    try:
        return RecordedEvent(
            event_id=UUID(_text(headers, "ce-id")),
            aggregate_type=_text(headers, "Tandem-Aggregate-Type"),
            order_id=UUID(_text(headers, "ce-subject")),
            version=_number(headers, "Tandem-Aggregate-Version"),
            event_type=_text(headers, "ce-type"),
            occurred_at=microseconds(datetime.fromisoformat(_header(headers, "ce-time"))),
            recorded_at=microseconds(datetime.fromisoformat(_header(headers, "Tandem-Recorded-At"))),
            headers=_header(headers, "Tandem-Headers"),
            payload=payload,
            personal=personal,
            salt=bytes.fromhex(salt) if salt else None,
            personal_digest=_digest(headers, "Tandem-Personal-Digest"),
            hash=_digest(headers, "Tandem-Hash"),
        )
    except UnfitMessage:
        raise
    except (ValueError, TypeError) as error:
        raise UnfitMessage(f"a header cannot be read: {error}") from None


def _quick_cut(text: str) -> tuple[str, str | None, str | None] | None:
    first, last = text.find(_PERSONAL), text.rfind(_SALT)
    if not text.startswith(_OPENING) or not 0 < first < last or not text.endswith('"}'):
        return None
    personal = text[first + len(_PERSONAL) : last]
    salt = text[last + len(_SALT) + 1 : -2]
    return text[len(_OPENING) : first], None if personal == "null" else personal, salt or None


def _parsed_cut(text: str) -> tuple[str, str | None, str | None]:
    """Cuts a body by parsing it. Raises UnfitMessage."""
    parts: list[str] = []
    end = 0
    for separator in (_OPENING, _PERSONAL, _SALT):
        if not text.startswith(separator, end):
            raise UnfitMessage("its body has not the parts payload, personal and salt")
        start = end + len(separator)
        try:
            _, end = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            raise UnfitMessage("its body is no JSON") from None
        parts.append(text[start:end])
    if text[end:] != "}":
        raise UnfitMessage("its body has more after the salt")
    payload, personal, salt = parts
    return payload, None if personal == "null" else personal, salt.strip('"') or None


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


def _digest(headers: Mapping[str, str], name: str) -> bytes:
    try:
        value = bytes.fromhex(_header(headers, name))
    except ValueError as error:
        raise UnfitMessage(f"the header {name} cannot be read: {error}") from None
    if len(value) != 32:
        raise UnfitMessage(f"the header {name} has {len(value)} bytes and must have 32")
    return value
