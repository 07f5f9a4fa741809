"""An event as the stream stores it: subject, headers and body as bytes, built once.

Headers are CloudEvents 1.0 in binary mode plus our own. The body is the payload's stored text; with a personal column
it is `{"payload":…,"personal":…,"salt":"…"}`, spliced from the stored texts, never parsed and written anew.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from relay.errors import Unpublishable
from relay.outbox_event import OutboxEvent
from relay.subject import SubjectTemplate

#: JetStream stores headers of at most 64 KiB; the fence headers are added when the message is sent.
MAX_HEADER_BYTES = 65_535
FENCE_BYTES = 512
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_CACHED = 8_192


class Message(NamedTuple):
    """One message without its fence. `headers` are complete lines; `group` tells the transactions apart that may have
    to be seen whole; `position` and `recorded_at` (µs) are None for a barrier."""

    subject: bytes
    message_id: bytes
    headers: bytes
    body: bytes
    group: str
    position: int | None
    recorded_at: int | None

    @property
    def size(self) -> int:
        """Bytes that count against the server's payload limit, the fence included."""
        return len(self.headers) + len(self.body) + FENCE_BYTES


@dataclass(frozen=True, slots=True)
class MessageLimits:
    """`max_payload`: headers and body of one message, in bytes, by server and stream."""

    max_payload: int


class MessageBuilder:
    """Builds the messages of one publishing session: term and epochs are fixed for it."""

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
    ) -> None:
        self._template = template
        self._id_prefix = f"{publish_epoch}:"
        self._common = (
            f"Tandem-Term: {term}\r\nce-specversion: 1.0\r\nce-datacontenttype: application/json\r\n"
            f"ce-source: {event_source.format(source_epoch=source_epoch)}\r\n"
        )
        self._partitions = partitions
        self._splices_personal = splices_personal
        self._max_payload = limits.max_payload
        self._kinds: dict[tuple[str, str], str] = {}

    def event(self, event: OutboxEvent, cursor: str) -> Message:
        """The message of `event`, which carries `cursor`; Unpublishable says why no stream could take it."""
        event_id, event_type, aggregate_type, aggregate_id = (
            event.event_id,
            event.event_type,
            event.aggregate_type,
            event.aggregate_id,
        )
        if event_id is None or event_type is None or aggregate_type is None or aggregate_id is None:
            raise Unpublishable("an id or type of the event is null")
        if _CONTROL.search(event_id) or _CONTROL.search(aggregate_id) or not event_id or not aggregate_id:
            raise Unpublishable("an id of the event is empty or has a control character")
        if event.recorded_at is None:
            raise Unpublishable("recorded_at is null or infinite")
        partition = event.partition if event.partition is not None else partition_of(aggregate_id, self._partitions)
        subject = self._template.subject(partition, event_type, aggregate_type)
        recorded_at = rfc3339(event.recorded_at)
        occurred_at = recorded_at if event.occurred_at is None else rfc3339(event.occurred_at)
        text = (
            f"Tandem-Cursor: {cursor}\r\n{self._kind(event_type, aggregate_type)}"
            f"ce-id: {event_id}\r\nce-subject: {aggregate_id}\r\nce-partitionkey: {aggregate_id}\r\n"
            f"ce-time: {occurred_at}\r\nTandem-Position: {event.position}\r\nTandem-Recorded-At: {recorded_at}\r\n"
        )
        if event.aggregate_version is not None:
            text += f"Tandem-Aggregate-Version: {event.aggregate_version}\r\n"
        if event.hash:
            text += f"Tandem-Hash: {_one_line(event.hash)}\r\n"
        if event.personal_digest:
            text += f"Tandem-Personal-Digest: {_one_line(event.personal_digest)}\r\n"
        if event.headers:
            text += f"Tandem-Headers: {_one_line(event.headers)}\r\n"
            if '"traceparent"' in event.headers and (traceparent := _traceparent(event.headers)):
                text += f"traceparent: {traceparent}\r\n"
        headers = text.encode()
        body = self._body(event)
        if len(headers) + FENCE_BYTES > MAX_HEADER_BYTES:
            raise Unpublishable(f"its headers have {len(headers)} bytes, a message may have {MAX_HEADER_BYTES}")
        if len(headers) + len(body) + FENCE_BYTES > self._max_payload:
            raise Unpublishable(f"it has {len(headers) + len(body)} bytes, a message may have {self._max_payload}")
        return Message(
            subject,
            f"{self._id_prefix}{event_id}".encode(),
            headers,
            body,
            event.transaction_id,
            event.position,
            event.recorded_at,
        )

    def _kind(self, event_type: str, aggregate_type: str) -> str:
        """Header lines that all events of a type share."""
        key = (event_type, aggregate_type)
        known = self._kinds.get(key)
        if known is None:
            if _CONTROL.search(event_type) or _CONTROL.search(aggregate_type):
                raise Unpublishable("event_type or aggregate_type has a control character")
            if len(self._kinds) >= _CACHED:
                self._kinds.clear()
            known = f"{self._common}ce-type: {event_type}\r\nTandem-Aggregate-Type: {aggregate_type}\r\n"
            self._kinds[key] = known
        return known

    def _body(self, event: OutboxEvent) -> bytes:
        payload = event.payload
        if not self._splices_personal:
            return b"" if payload is None else payload.encode() if isinstance(payload, str) else payload
        if isinstance(payload, bytes):
            raise Unpublishable("a payload of bytes cannot be spliced with personal data")
        return (
            f'{{"payload":{"null" if payload is None else payload},'
            f'"personal":{"null" if event.personal is None else event.personal},"salt":"{event.salt or ""}"}}'
        ).encode()


def partition_of(aggregate_id: str, partitions: int) -> int:
    """The partition of an aggregate whose table has no such column."""
    return int.from_bytes(hashlib.sha256(aggregate_id.encode()).digest()[:2]) % partitions


def rfc3339(microseconds: int) -> str:
    """A time in µs since 1970 as `2026-01-31T12:00:00.000000Z`; Unpublishable beyond the year 9999."""
    seconds, fraction = divmod(microseconds, 1_000_000)
    return f"{_second(seconds)}.{fraction:06d}Z"


@lru_cache(maxsize=4_096)
def _second(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()
    except (ValueError, OverflowError, OSError):
        raise Unpublishable("a time of the event is outside the years 1 to 9999") from None


def _one_line(text: str) -> str:
    """Text fit for a header line. JSON may hold line breaks between its tokens only, where a blank means the same."""
    return _CONTROL.sub(" ", text) if _CONTROL.search(text) else text


def _traceparent(headers: str) -> str | None:
    try:
        value = json.loads(headers).get("traceparent")
    except (ValueError, AttributeError):
        return None
    return value if isinstance(value, str) and _TRACEPARENT.fullmatch(value) else None
