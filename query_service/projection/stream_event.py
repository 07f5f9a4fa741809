"""Reads a message of the stream: an event with its headers, or a barrier.

The relay copies payload and personal data into the body as they were recorded. Here they are taken from the body as
text and never serialised again, because the hash chain covers the exact text.
"""

from __future__ import annotations

import hashlib
import json
import re
from binascii import a2b_base64, unhexlify
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import unquote

import msgspec

from query_service.projection.errors import ProjectionError, Unprojectable
from query_service.projection.external_version import MAX_EPOCH, MAX_VERSION
from query_service.projection.proto_json import identifier, malformed, microseconds
from query_service.projection.recorded_order import (
    Payload,
    PersonalData,
    parse_object,
    read_payload,
    read_personal_data,
)

Headers = Mapping[str, str]
_EPOCH = "Tandem-Epoch"
#: The version of an order after the event of a message.
VERSION = "Tandem-Version"
_OPENING = b'{"headers":'
_MICROSECONDS = re.compile(r"-?\d{1,18}", re.ASCII)
_DIGEST_BYTES = 32


class StreamEvent(msgspec.Struct, frozen=True, gc=False):
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
    payload: Payload
    payload_text: str
    personal: PersonalData | None
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
        return order_id, bounded(headers, VERSION, MAX_VERSION)
    except ProjectionError:
        return None


def read_event(headers: Headers, body: bytes) -> StreamEvent:
    """Reads an event. Raises ProjectionError naming the header, or the field of the body, that is wrong."""
    content = read_body(body)
    recorded_headers = content.headers or _header(headers, "Tandem-Headers")
    journal = parse_object(recorded_headers, "headers")
    occurred_at = microseconds(_header(headers, "ce-time"), "ce-time")
    schema_version = bounded(journal, "schema_version", 2**31)
    event = StreamEvent(
        order_id=identifier(_text(headers, "ce-subject"), "ce-subject"),
        version=bounded(headers, VERSION, MAX_VERSION),
        # The source epoch in which the event was published. After a restore, its events belong to the new history.
        source_epoch=_epoch(headers, journal),
        event_id=identifier(_text(headers, "ce-id"), "ce-id"),
        aggregate_type=_text(headers, "Tandem-Aggregate"),
        event_type=_text(headers, "ce-type"),
        schema_version=schema_version,
        occurred_at=occurred_at,
        recorded_at=occurred_at + _difference(headers, "Tandem-Recorded-After"),
        position=bounded(headers, "Tandem-Position", 2**63 - 1),
        payload=read_payload(content.payload, schema_version),
        payload_text=content.payload,
        personal=None if content.personal is None else read_personal_data(content.personal),
        personal_text=content.personal,
        salt=content.salt,
        personal_digest=_personal_digest(headers, content),
        recorded_headers=recorded_headers,
        hash=_digest(_header(headers, "Tandem-Hash"), "Tandem-Hash"),
    )
    agree(event)
    return event


class Body(msgspec.Struct, gc=False):
    """The parts of a message's body, each as recorded text."""

    payload: str
    personal: str | None = None
    salt: str | None = None
    headers: str | None = None


class _Envelope(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The relay's envelope. The texts of headers, payload and personal data are taken to the letter."""

    headers: msgspec.Raw
    payload: msgspec.Raw
    personal: msgspec.Raw
    salt: str | None


_ENVELOPES = msgspec.json.Decoder(_Envelope)


def read_body(body: bytes) -> Body:
    """Returns the parts of a body. A body without envelope is the payload alone. Raises ProjectionError."""
    try:
        if not body.startswith(_OPENING):
            return Body(body.decode())
        envelope = _ENVELOPES.decode(body)
        headers, payload = str(envelope.headers, "utf-8"), str(envelope.payload, "utf-8")
        personal = str(envelope.personal, "utf-8")
    except UnicodeDecodeError:
        raise malformed("body", "is no UTF-8") from None
    except (msgspec.DecodeError, RecursionError):
        raise _fault(body.decode(errors="replace")) from None
    found = Body(payload, headers=None if headers == "null" else headers)
    if personal != "null":
        found.personal, found.salt = personal, envelope.salt or None
    return found


def _fault(body: str) -> ProjectionError:
    """Returns the error that names the first part of a body that is wrong."""
    end = 0
    for opening, part in _PARTS:
        if not body.startswith(opening, end):
            return malformed("body", f"has no {part} after the part before")
        try:
            value, end = _DECODER.raw_decode(body, end + len(opening))
        except (ValueError, RecursionError):
            return malformed(part, "is no JSON")
    if not isinstance(value, str | None):
        return malformed("salt", "is no text")
    if body[end:].strip() != "}":
        return malformed("body", "has more after the salt")
    return malformed("body", "has a text that is no Unicode")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


#: What is before each part of a body. The standard library's decoder tells where a part ends.
_PARTS = (
    ('{"headers":', "headers"),
    (',"payload":', "payload"),
    (',"personal":', "personal"),
    (',"salt":', "salt"),
)
_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def _header(headers: Headers, name: str) -> str:
    value = headers.get(name)
    if not value:
        raise malformed(name, "is missing")
    return value


def _difference(headers: Headers, name: str) -> int:
    """Returns the microseconds in a header, which may be negative; 0 without it."""
    value = headers.get(name, "0")
    if not _MICROSECONDS.fullmatch(value):
        raise malformed(name, "is no number of microseconds")
    return int(value)


def _personal_digest(headers: Headers, content: Body) -> str:
    """Returns the digest of the personal data as hex. The relay leaves out one that is what the data gives."""
    value = headers.get("Tandem-Personal-Digest")
    if value is not None:
        return _digest(value, "Tandem-Personal-Digest")
    if content.personal is None or content.salt is None:
        return ""
    try:
        return hashlib.sha256(unhexlify(content.salt) + content.personal.encode()).hexdigest()
    except ValueError:
        raise malformed("salt", "is no hexadecimal text") from None


def _digest(value: str, name: str) -> str:
    """Returns a digest of 32 bytes, which is base64url without padding, as hex."""
    try:
        found = a2b_base64(value.replace("-", "+").replace("_", "/") + "=", strict_mode=True)
    except ValueError:
        found = b""
    if len(found) != _DIGEST_BYTES:
        raise malformed(name, "is no digest of 32 bytes in base64url")
    return found.hex()


def _text(headers: Headers, name: str) -> str:
    return text_of(headers, name) or _header(headers, name)


def _epoch(headers: Headers, journal: Mapping[str, Any]) -> int:
    return bounded(headers, _EPOCH, MAX_EPOCH) if _EPOCH in headers else bounded(journal, "source_epoch", MAX_EPOCH)


def bounded(source: Mapping[str, Any], name: str, highest: int) -> int:
    """Returns the number from 1 to `highest` that `source` has as text. Raises ProjectionError naming it."""
    value = source.get(name)
    # Every allowed number has 19 digits at most. Refuse longer texts before converting them.
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 19:
        number = int(value)
        if 1 <= number <= highest:
            return number
    raise malformed(name, f"is no number within 1 to {highest}")


def agree(event: StreamEvent) -> None:
    """Checks that headers and payload name the same event. Raises ProjectionError (CONTRADICTORY)."""
    payload = event.payload
    if (payload.order_id, payload.event_id, str(payload.order_version), payload.event_type) == (
        event.order_id,
        event.event_id,
        str(event.version),
        event.event_type,
    ):
        return
    pairs = (
        ("orderId", payload.order_id, event.order_id),
        ("eventId", payload.event_id, event.event_id),
        ("orderVersion", str(payload.order_version), str(event.version)),
        ("eventType", payload.event_type, event.event_type),
    )
    for field, found, expected in pairs:
        if found.lower() != expected.lower():
            raise ProjectionError(
                Unprojectable.CONTRADICTORY, f"the headers say {field} {expected}, the payload says {found}"
            )
