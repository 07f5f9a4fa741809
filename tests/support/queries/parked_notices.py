"""Makes the relay's notices about parked events, by the relay's own builder."""

from __future__ import annotations

from collections.abc import Mapping

from relay.events.event import OutboxEvent
from relay.events.message import MessageLimits
from relay.events.parked_notice import ParkedNotices
from relay.stream.jetstream_api import parse_headers
from tests.support.queries.order_events import PublishedEvent

REASON = "it has 2000000 bytes, a message may have 1048576"


def notice_headers(event: PublishedEvent, *, discarded: bool = False) -> Mapping[str, str]:
    """Returns the headers of the notice that `event` is parked, or discarded."""
    row = OutboxEvent(
        position=7,
        transaction_id="901",
        event_id=event.event_id,
        aggregate_type="order",
        aggregate_id=event.order_id,
        aggregate_version=event.version,
        partition=0,
        event_type=event.event_type,
        payload=None,
        personal=None,
        salt=None,
        personal_digest=None,
        headers=None,
        hash=None,
        occurred_at=None,
        recorded_at=1_767_225_600_123_456,
    )
    notices = ParkedNotices("b", source_epoch=1, publish_epoch=1, term=1, limits=MessageLimits(1 << 20))
    base, at = "1;poll;;1:1:", "7"
    message = notices.discarded(row, base, at) if discarded else notices.parked(row, base, at, REASON)
    assert message is not None
    return parse_headers(b"NATS/1.0\r\n" + message.headers)
