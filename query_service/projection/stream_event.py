"""Reads a message of the stream: an event with its headers, or a barrier.

The relay copies payload and personal data into the body as they were recorded. Here they are taken from the body as
text and never serialised again, because the hash chain covers the exact text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import unquote

from query_service.projection.errors import ProjectionError, Unprojectable
from query_service.projection.external_version import MAX_EPOCH, MAX_VERSION
from query_service.projection.proto_json import identifier, malformed, microseconds

Headers = Mapping[str, str]
#: Parses JSON exactly as `json.loads` does, or raises ValueError where the result could differ.
Parse = Callable[[str], Any]
_EPOCH = "Tandem-Source-Epoch"
_OPENING, _PERSONAL, _SALT = '{"payload":', ',"personal":', ',"salt":'


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """A published event. It has `payload` and `personal` both parsed and as their recorded text.

    Times are microseconds since 1970. `personal` and `salt` are None once redacted.
    """

    order_id: str
    version: int
    source_epoch: int
    event_id: str
    aggregate_type: str
    event_type: str
    schema_version: int
    occurred_at: int
    recorded_at: int
    position: int
    payload: Mapping[str, Any]
    payload_text: str
    personal: Mapping[str, Any] | None
    personal_text: str | None
    salt: str | None
    personal_digest: str
    recorded_headers: str
    hash: str


@dataclass(frozen=True, slots=True)
class Barrier:
    """A message that is no event. Everything committed on the write side before `time` is earlier in the stream.

    `time` is in microseconds since 1970; None for a barrier without time.
    """

    time: int | None
    source_epoch: int


def is_barrier(headers: Headers) -> bool:
    """Returns whether a message with these headers is a barrier."""
    return _EPOCH in headers and "ce-id" not in headers


def read_barrier(headers: Headers) -> Barrier:
    """Returns the barrier of a message. Raises ProjectionError."""
    time = headers.get("Tandem-Barrier-Time")
    return Barrier(
        time=None if time is None else microseconds(time, "Tandem-Barrier-Time"),
        source_epoch=bounded(headers, _EPOCH, MAX_EPOCH),
    )


def text_of(headers: Headers, name: str) -> str:
    """Decodes a header that is percent-encoded (CloudEvents, binary mode); "" when it is missing."""
    value = headers.get(name, "")
    return unquote(value) if "%" in value else value


def addressee(headers: Headers) -> tuple[str, int] | None:
    """Returns the order id and version in a message's headers; None when the headers lack one of them.

    Unlike `read_event` it does not need a readable body.
    """
    try:
        order_id = identifier(_text(headers, "ce-subject"), "ce-subject")
        return order_id, bounded(headers, "Tandem-Aggregate-Version", MAX_VERSION)
    except ProjectionError:
        return None


def read_event(headers: Headers, body: bytes, parse: Parse | None = None) -> StreamEvent:
    """Returns the event in a message. Raises ProjectionError naming the header, or the part of the body, that is wrong.

    `parse` is a faster JSON parser. If it refuses a text, the standard library parses that text again.
    """
    recorded_headers = _header(headers, "Tandem-Headers")
    journal = parse_object(recorded_headers, "Tandem-Headers")
    content = read_body(body, parse)
    event = StreamEvent(
        order_id=identifier(_text(headers, "ce-subject"), "ce-subject"),
        version=bounded(headers, "Tandem-Aggregate-Version", MAX_VERSION),
        # The source epoch in which the event was published. After a restore, its events belong to the new history.
        source_epoch=_epoch(headers, journal),
        event_id=identifier(_text(headers, "ce-id"), "ce-id"),
        aggregate_type=_text(headers, "Tandem-Aggregate-Type"),
        event_type=_text(headers, "ce-type"),
        schema_version=bounded(journal, "schema_version", 2**31),
        occurred_at=microseconds(_header(headers, "ce-time"), "ce-time"),
        recorded_at=microseconds(_header(headers, "Tandem-Recorded-At"), "Tandem-Recorded-At"),
        position=bounded(headers, "Tandem-Position", 2**63 - 1),
        payload=content.payload,
        payload_text=content.payload_text,
        personal=content.personal,
        personal_text=content.personal_text,
        salt=content.salt,
        personal_digest=headers.get("Tandem-Personal-Digest", ""),
        recorded_headers=recorded_headers,
        hash=_header(headers, "Tandem-Hash"),
    )
    agree(event)
    return event


@dataclass(frozen=True, slots=True)
class Body:
    """The parts of a message's body, each as recorded text and parsed."""

    payload: Mapping[str, Any]
    payload_text: str
    personal: Mapping[str, Any] | None = None
    personal_text: str | None = None
    salt: str | None = None


def read_body(body: bytes, parse: Parse | None = None) -> Body:
    """Returns the parts of a body. A body without envelope is the payload alone. Raises ProjectionError."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise malformed("body", "is no UTF-8") from None
    if parse is not None and (quickly := _quickly(text, parse)) is not None:
        return quickly
    if not text.startswith(_OPENING):
        return Body(parse_object(text, "payload"), text)
    payload, payload_text, end = _value(text, len(_OPENING), "payload")
    if not text.startswith(_PERSONAL, end):
        raise malformed("body", "has no personal data after the payload")
    personal, personal_text, end = _value(text, end + len(_PERSONAL), "personal")
    if not text.startswith(_SALT, end):
        raise malformed("body", "has no salt after the personal data")
    salt, _, end = _value(text, end + len(_SALT), "salt")
    if text[end:].strip() != "}":
        raise malformed("body", "has more after the salt")
    if not isinstance(payload, dict):
        raise malformed("payload", "is no JSON object")
    if not isinstance(salt, str | None):
        raise malformed("salt", "is no text")
    if personal is None:
        return Body(payload, payload_text)
    if not isinstance(personal, dict):
        raise malformed("personal", "is no JSON object")
    return Body(payload, payload_text, personal, personal_text, salt or None)


def _quickly(text: str, parse: Parse) -> Body | None:
    """Splits a body in its usual form; returns None if it may have any other.

    Quotes inside JSON strings are escaped, so the separators cannot occur in a string. A field of the payload could
    match one. The left part is then not a complete object, parsing fails, and the slow path is used.
    """
    payload_end, personal_end = text.find(_PERSONAL), text.rfind(_SALT)
    personal_start, salt_start = payload_end + len(_PERSONAL), personal_end + len(_SALT)
    payload_text, personal_text = text[len(_OPENING) : payload_end], text[personal_start:personal_end]
    salt = text[salt_start + 1 : -2]
    if (
        not text.startswith(_OPENING)
        or not len(_OPENING) < payload_end < personal_end
        or not (payload_text[0] == "{" and payload_text[-1] == "}")
        or not (personal_text[:1] == "{" and personal_text[-1:] == "}")
        or text[salt_start : salt_start + 1] != '"'
        or text[-2:] != '"}'
        or not salt.isalnum()
    ):
        return None
    try:
        return Body(parse(payload_text), payload_text, parse(personal_text), personal_text, salt)
    except ValueError:
        return None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def _value(text: str, start: int, part: str) -> tuple[Any, str, int]:
    try:
        value, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        raise malformed(part, "is no JSON") from None
    return value, text[start:end], end


def parse_object(text: str, part: str) -> dict[str, Any]:
    """Parses a JSON object. Raises ProjectionError naming `part`."""
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError):
        raise malformed(part, "is no JSON") from None
    if not isinstance(value, dict):
        raise malformed(part, "is no JSON object")
    return value


def parsed_object(text: str, part: str, parse: Parse | None) -> dict[str, Any]:
    """Parses a JSON object with `parse`, or by the standard library if that refuses it. Raises as `parse_object`."""
    if parse is not None:
        try:
            value = parse(text)
        except ValueError:
            return parse_object(text, part)
        if isinstance(value, dict):
            return value
    return parse_object(text, part)


def _header(headers: Headers, name: str) -> str:
    value = headers.get(name)
    if not value:
        raise malformed(name, "is missing")
    return value


def _text(headers: Headers, name: str) -> str:
    return text_of(headers, name) or _header(headers, name)


def _epoch(headers: Headers, journal: Mapping[str, Any]) -> int:
    return bounded(headers, _EPOCH, MAX_EPOCH) if _EPOCH in headers else bounded(journal, "source_epoch", MAX_EPOCH)


def bounded(source: Mapping[str, Any], name: str, highest: int) -> int:
    """Returns the number from 1 to `highest` that `source` has as text. Raises ProjectionError naming it."""
    value = source.get(name)
    # Every allowed number has 19 digits at most. Refuse longer texts before converting them.
    if (
        isinstance(value, str)
        and value.isascii()
        and value.isdigit()
        and len(value) <= 19
        and 1 <= int(value) <= highest
    ):
        return int(value)
    raise malformed(name, f"is no number within 1 to {highest}")


def agree(event: StreamEvent) -> None:
    """Checks that headers and payload name the same event. Raises ProjectionError (CONTRADICTORY)."""
    pairs = (
        ("orderId", event.order_id),
        ("eventId", event.event_id),
        ("orderVersion", str(event.version)),
        ("eventType", event.event_type),
    )
    for field, expected in pairs:
        found = event.payload.get(field)
        if str(found).lower() != expected.lower():
            raise ProjectionError(
                Unprojectable.CONTRADICTORY, f"the headers say {field} {expected}, the payload says {found}"
            )
