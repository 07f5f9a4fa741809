"""Sample events and messages."""

from typing import Any

from relay.events.event import OutboxEvent
from relay.events.message import Message, MessageBuilder, MessageLimits
from relay.events.subject import SubjectTemplate

EVENT = OutboxEvent(
    position=42,
    transaction_id="901",
    event_id="0199a0f2-0000-7000-8000-000000000001",
    aggregate_type="order",
    aggregate_id="0199a0f2-0000-7000-8000-0000000000aa",
    aggregate_version=3,
    partition=17,
    event_type="ORDER_PAID",
    payload='{"orderPaid":{"amount":"1.00"}}',
    personal='{"name":"Ada"}',
    salt="00ff",
    personal_digest="ab" * 32,
    headers='{"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","actor":"a"}',
    hash="cd" * 32,
    occurred_at=820_454_400_000_001,
    recorded_at=1_767_225_600_123_456,
)
#: The roles whose columns have the type bytea in our outbox.
BYTES = frozenset({"hash", "personal_digest", "salt"})


def builder(**overrides: Any) -> MessageBuilder:
    settings: dict[str, Any] = {
        "template": SubjectTemplate("orders.v1.{partition}.{event_type}"),
        "event_source": "/tandem/{source_epoch}/outbox",
        "source_epoch": 2,
        "publish_epoch": 5,
        "term": 9,
        "partitions": 64,
        "splices_personal": True,
        "json_roles": frozenset({"headers"}),
        "limits": MessageLimits(1 << 20),
    } | overrides
    return MessageBuilder(**settings)


def message(number: int, *, group: str = "g", body: bytes = b"x") -> Message:
    """A small event message."""
    return Message.sized(
        b"t.0.E", b"1:%d" % number, b"A: b\r\n", body, group=group, position=number, recorded_at=number
    )
