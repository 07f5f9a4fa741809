"""Builds the message of an event, as the stream stores it: subject, headers and body as bytes.

The headers are those of CloudEvents 1.0 in binary mode, encoded by `header_value`, and our own. The body is the
payload's stored text. If the outbox has a personal column, the body is
`{"headers":…,"payload":…,"personal":…,"salt":"…"}`. It is put together from the stored texts, which are never parsed
and written again.

A message says nothing twice. What can be computed from another part of it, or is said by the barrier that its cursor
names, has no header. `docs/reference/messages.md` lists all headers.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from relay.events.digest import base64url, digest_of_personal
from relay.events.errors import Unpublishable
from relay.events.event import OutboxEvent
from relay.events.header_value import encode, needs_encoding
from relay.events.subject import SubjectTemplate

#: JetStream stores headers of at most 64 KiB; the fence headers are added when the message is sent.
MAX_HEADER_BYTES = 65_535
#: Room for what is added to the headers later. A fence has up to 320 bytes, the mark of a retried event 28.
FENCE_BYTES = 512
#: The source epoch in which a message is published. Its row may have been written in an earlier epoch: a restored
#: database may have rows that the stream has never seen, and these are published in the new epoch.
EPOCH_HEADER = "Tandem-Epoch"
TERM_HEADER = "Tandem-Term"
AGGREGATE_HEADER, VERSION_HEADER = "Tandem-Aggregate", "Tandem-Version"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
#: The years 1 to 9999, in µs since 1970.
_FIRST_TIME, _END_OF_TIME = -62_135_596_800_000_000, 253_402_300_800_000_000
_CACHED = 8_192
_END = "\r\n"
_new = tuple.__new__


class Message(NamedTuple):
    """One message without its fence headers, which are added when it is sent.

    `headers` are complete lines. `group` is the same for all events of one transaction, which may have to be published
    together. `position` is None for a barrier, `recorded_at` (µs since 1970) for every message that is no event. `size`
    is the number of bytes that count against the server's payload limit: headers, body and FENCE_BYTES for the fence.
    """

    subject: bytes
    message_id: bytes
    headers: bytes
    body: bytes
    group: str
    position: int | None
    recorded_at: int | None
    size: int

    @classmethod
    def sized(
        cls,
        subject: bytes,
        message_id: bytes,
        headers: bytes,
        body: bytes,
        *,
        group: str,
        position: int | None = None,
        recorded_at: int | None = None,
    ) -> Message:
        """Returns a message with its size counted."""
        size = len(headers) + len(body) + FENCE_BYTES
        return cls(subject, message_id, headers, body, group, position, recorded_at, size)


@dataclass(frozen=True, slots=True)
class MessageLimits:
    """The limit that server and stream set: headers and body of a message have at most `max_payload` bytes together."""

    max_payload: int


class MessageBuilder:
    """Builds the messages of one publishing session, whose term and epochs are fixed.

    Values of the roles in `plain_roles` are valid header values without encoding. Those in `json_roles` are JSON, and
    those in `byte_roles` bytes as hex.
    """

    def __init__(
        self,
        template: SubjectTemplate,
        *,
        event_source: str,
        source_epoch: int,
        publish_epoch: int,
        term: int,
        partitions: int,
        splices_personal: bool,
        limits: MessageLimits,
        plain_roles: frozenset[str] = frozenset(),
        json_roles: frozenset[str] = frozenset(),
        byte_roles: frozenset[str] = frozenset(),
    ) -> None:
        self._template = template
        # Within a source epoch a position is drawn once. It is shorter than the event's id, and stands in two headers.
        self._id_prefix = f"{publish_epoch}.{source_epoch}:"
        self._term = f"{TERM_HEADER}: {term}\r\n"
        self._common = (
            f"ce-specversion: 1.0\r\nce-source: {encode(event_source.format(source_epoch=source_epoch))}\r\n"
            f"{EPOCH_HEADER}: {source_epoch}\r\n"
        )
        self._partitions = partitions
        self._splices_personal = splices_personal
        self._max_payload = limits.max_payload
        # Checking each character costs much. A uuid, a number or the hex of bytes never needs encoding.
        self._plain_ids = plain_roles >= {"event_id", "aggregate_id"}
        self._hash = base64url if "hash" in byte_roles else _one_line
        self._digest = base64url if "personal_digest" in byte_roles else _one_line
        self._salted = byte_roles >= {"salt", "personal_digest"}
        self._headers_are_json = "headers" in json_roles
        self._one_line = _json_on_one_line if self._headers_are_json else _one_line
        self._kinds: dict[tuple[int, str | None, str | None], tuple[bytes, str]] = {}

    def event(self, event: OutboxEvent, base: str, at: str) -> Message:
        """Returns the message of `event` with the cursor `base;at`. If the base is a barrier's, that has the term too.

        Raises Unpublishable, with the reason, if no stream can accept the event.
        """
        # One unpacking and one f-string: this runs for every event, and is most of the relay's work.
        (
            position, transaction_id, event_id, aggregate_type, aggregate_id, version, partition, event_type,
            payload, personal, salt, digest, headers, digest_of_chain, occurred_at, recorded_at,
        ) = event  # fmt: skip
        if event_id is None or aggregate_id is None:
            raise Unpublishable("an id or type of the event is null")
        if recorded_at is None:
            raise Unpublishable("recorded_at is null or infinite")
        if partition is None:
            partition = partition_of(aggregate_id, self._partitions)
        if not self._plain_ids:
            event_id, aggregate_id = _id(event_id), _id(aggregate_id)
        kind = (partition, event_type, aggregate_type)
        subject, lines = self._kinds.get(kind) or self._kind(*kind)
        if not _FIRST_TIME <= recorded_at < _END_OF_TIME:
            raise Unpublishable("recorded_at is outside the years 1 to 9999")
        if occurred_at is None:
            occurred_at = recorded_at
        if self._splices_personal:
            body = self._spliced(headers if self._headers_are_json else None, payload, personal, salt)
            headers = None if self._headers_are_json else headers
            digest = self._untold(digest, personal, salt)
        else:
            body = _bytes(payload)
        head = (
            f"Tandem-Cursor: {base};{at}\r\n{'' if base[0] == '@' else self._term}{lines}"
            f"ce-id: {event_id}\r\nce-subject: {aggregate_id}\r\nce-time: {rfc3339(occurred_at)}\r\n"
            f"{f'Tandem-Recorded-After: {recorded_at - occurred_at}{_END}' if recorded_at != occurred_at else ''}"
            f"Tandem-Position: {position}\r\n"
            f"{f'Tandem-Version: {version}{_END}' if version is not None else ''}"
            f"{f'Tandem-Hash: {self._hash(digest_of_chain)}{_END}' if digest_of_chain else ''}"
            f"{f'Tandem-Personal-Digest: {self._digest(digest)}{_END}' if digest else ''}"
            f"{f'Tandem-Headers: {self._one_line(headers)}{_END}' if headers else ''}"
        ).encode()
        size = len(head) + len(body) + FENCE_BYTES
        if len(head) + FENCE_BYTES > MAX_HEADER_BYTES:
            raise Unpublishable(f"its headers have {len(head)} bytes, a message may have {MAX_HEADER_BYTES}")
        if size > self._max_payload:
            raise Unpublishable(f"it has {size - FENCE_BYTES} bytes, a message may have {self._max_payload}")
        message_id = f"{self._id_prefix}{position}".encode()
        return _new(Message, (subject, message_id, head, body, transaction_id, position, recorded_at, size))

    def _kind(self, partition: int, event_type: str | None, aggregate_type: str | None) -> tuple[bytes, str]:
        """Returns the subject and the header lines that events of these types and partition share, and caches them."""
        if event_type is None or aggregate_type is None:
            raise Unpublishable("an id or type of the event is null")
        subject = self._template.subject(partition, event_type, aggregate_type)
        if not event_type:
            raise Unpublishable("event_type is empty")
        if _has_control(event_type) or _has_control(aggregate_type):
            raise Unpublishable("event_type or aggregate_type has a control character")
        if len(self._kinds) >= _CACHED:
            self._kinds.clear()
        lines = f"{self._common}ce-type: {encode(event_type)}\r\n{AGGREGATE_HEADER}: {encode(aggregate_type)}\r\n"
        known = self._kinds[partition, event_type, aggregate_type] = subject, lines
        return known

    def _untold(self, digest: str | None, personal: str | None, salt: str | None) -> str | None:
        """Returns the digest of the personal data; None if the body tells it, because the data and the salt give it."""
        if not digest or personal is None or not salt or not self._salted:
            return digest
        return None if digest_of_personal(personal, salt) == digest else digest

    @staticmethod
    def _spliced(headers: str | None, payload: str | bytes | None, personal: str | None, salt: str | None) -> bytes:
        if isinstance(payload, bytes):
            raise Unpublishable("a payload of bytes cannot be spliced with personal data")
        return (
            f'{{"headers":{headers or "null"},"payload":{"null" if payload is None else payload},'
            f'"personal":{"null" if personal is None else personal},"salt":"{salt or ""}"}}'
        ).encode()


def _bytes(payload: str | bytes | None) -> bytes:
    return b"" if payload is None else payload.encode() if isinstance(payload, str) else payload


def partition_of(aggregate_id: str, partitions: int) -> int:
    """Returns the partition of an aggregate, for a table without a column for it."""
    return int.from_bytes(hashlib.sha256(aggregate_id.encode()).digest()[:2]) % partitions


def rfc3339(microseconds: int) -> str:
    """Returns a time in µs since 1970 as `2026-01-31T12:00:00.000000Z`.

    Raises Unpublishable for a year outside 1 to 9999.
    """
    if microseconds < 1_000_000:
        seconds, fraction = divmod(microseconds, 1_000_000)
        return f"{_second(seconds)}.{fraction:06d}Z"
    digits = str(microseconds)  # much quicker than a division and a format with 06d
    return f"{_second(digits[:-6])}.{digits[-6:]}Z"


@lru_cache(maxsize=4_096)
def _second(seconds: int | str) -> str:
    try:
        return datetime.fromtimestamp(int(seconds), UTC).replace(tzinfo=None).isoformat()
    except (ValueError, OverflowError, OSError):
        raise Unpublishable("a time of the event is outside the years 1 to 9999") from None


def _id(text: str) -> str:
    """Returns an id as a header value. Raises Unpublishable if it cannot be one."""
    if text and not needs_encoding(text):
        return text
    if not text or _has_control(text):
        raise Unpublishable("an id of the event is empty or has a control character")
    return encode(text)


def _has_control(text: str) -> bool:
    # A text of printable characters has no control character. This quick check decides most texts.
    return not text.isprintable() and _CONTROL.search(text) is not None


def _one_line(text: str) -> str:
    """Returns the text with a blank for each control character, so that it fits into one header line.

    JSON keeps its meaning: it has line breaks between its tokens only, where a blank means the same.
    """
    return _CONTROL.sub(" ", text) if _has_control(text) else text


def _json_on_one_line(text: str) -> str:
    """Does the same as `_one_line` for text that is known to be JSON, at a third of the cost."""
    return _one_line(text) if "\n" in text or "\r" in text or "\t" in text else text
