"""Builds parked notices: messages that say in the stream that an event is parked, or that it will never come.

A notice takes the place of a parked event, so readers learn of the gap, and the stream's last cursor covers the event.
It has no body, no `ce-id`, and the subject of barriers, so whoever skips barriers skips it too. If the parked event is
published later, it carries `Tandem-Unparked: retried`. If an operator discards it, another notice says so.
"""

from __future__ import annotations

from relay.events.cursor import HEADER
from relay.events.event import OutboxEvent
from relay.events.header_value import encode
from relay.events.message import (
    AGGREGATE_HEADER,
    EPOCH_HEADER,
    FENCE_BYTES,
    TERM_HEADER,
    VERSION_HEADER,
    Message,
    MessageLimits,
)

PARKED_HEADER, UNPARKED_HEADER = "Tandem-Parked", "Tandem-Unparked"
#: The value of `Tandem-Parked`: who parked the event.
BY_RELAY = "relay"
RETRIED, DISCARDED = "retried", "discarded"
#: Longer reasons are cut. Longer ids and types are left out, so a notice is always small enough for the stream.
LONGEST_REASON, LONGEST_VALUE = 200, 1_024
_RETRIED_LINE = f"{UNPARKED_HEADER}: {RETRIED}\r\n".encode()


class ParkedNotices:
    """Builds the notices of one publishing session, on the subject of barriers."""

    def __init__(
        self, subject: str, *, source_epoch: int, publish_epoch: int, term: int, limits: MessageLimits
    ) -> None:
        self._subject = subject.encode()
        self._id_prefix = f"{publish_epoch}:"
        self._epoch = source_epoch
        self._common = f"{TERM_HEADER}: {term}\r\n{EPOCH_HEADER}: {source_epoch}\r\n"
        self._max_payload = limits.max_payload

    def parked(self, event: OutboxEvent, base: str, at: str, reason: str) -> Message | None:
        """Returns the notice that takes the place of `event`, with the cursor `base;at`.

        `reason` must contain no data of the event. Returns None if the stream accepts not even a notice without ids.
        """
        lines = f"{PARKED_HEADER}: {BY_RELAY}\r\nTandem-Parked-Reason: {encode(reason[:LONGEST_REASON])}\r\n"
        return self._notice(event, base, at, "parked", lines)

    def discarded(self, event: OutboxEvent, base: str, at: str) -> Message | None:
        """Returns the notice that the parked `event` will never be published; None as for `parked`."""
        return self._notice(event, base, at, DISCARDED, f"{UNPARKED_HEADER}: {DISCARDED}\r\n")

    def _notice(self, event: OutboxEvent, base: str, at: str, word: str, lines: str) -> Message | None:
        required = f"{HEADER}: {base};{at}\r\n{self._common}{lines}Tandem-Position: {event.position}\r\n"
        head = (required + _names(event)).encode()
        if len(head) + FENCE_BYTES > self._max_payload:
            head = required.encode()
            if len(head) + FENCE_BYTES > self._max_payload:
                return None
        # An adopted database may park an event again, so the id has the source epoch. The id of the event would be too
        # long: the next message repeats this id in its fence, and both must fit into the bytes that are kept for that.
        message_id = f"{self._id_prefix}{word}:{self._epoch}.{event.position}"
        return Message.sized(
            self._subject, message_id.encode(), head, b"", group=event.transaction_id, position=event.position
        )


def retried(message: Message) -> Message:
    """Marks the message of an event that was parked. The mark fits into the bytes that are kept for a fence."""
    return message._replace(headers=message.headers + _RETRIED_LINE)


def _names(event: OutboxEvent) -> str:
    """Returns the header lines that name the event, without values that are missing or too long."""
    values = {
        "Tandem-Event-Id": event.event_id,
        "Tandem-Event-Type": event.event_type,
        AGGREGATE_HEADER: event.aggregate_type,
        "Tandem-Aggregate-Id": event.aggregate_id,
    }
    texts = {name: encode(value) for name, value in values.items() if value and len(value) <= LONGEST_VALUE}
    lines = "".join(f"{name}: {text}\r\n" for name, text in texts.items() if len(text) <= LONGEST_VALUE)
    version = event.aggregate_version
    return lines if version is None else f"{lines}{VERSION_HEADER}: {version}\r\n"
