"""Reads the relay's messages about events that it has parked: notices in their place, and what takes these back."""

from __future__ import annotations

from dataclasses import dataclass

from query_service.projection.errors import ProjectionError
from query_service.projection.external_version import MAX_VERSION
from query_service.projection.proto_json import identifier
from query_service.projection.stream_event import VERSION, Headers, bounded, text_of

_PARKED, _UNPARKED = "Tandem-Parked", "Tandem-Unparked"


@dataclass(frozen=True, slots=True)
class ParkedNotice:
    """The relay's word about one event that it has parked, or that an operator has discarded (`taken_back`)."""

    order_id: str
    version: int
    event_id: str
    event_type: str
    reason: str
    taken_back: bool


def read_notice(headers: Headers) -> ParkedNotice | None:
    """Returns the notice in a message without event; None if it is another message, or names no order and version."""
    if _PARKED not in headers and _UNPARKED not in headers:
        return None
    try:
        return ParkedNotice(
            order_id=identifier(text_of(headers, "Tandem-Aggregate-Id"), "Tandem-Aggregate-Id"),
            version=bounded(headers, VERSION, MAX_VERSION),
            event_id=text_of(headers, "Tandem-Event-Id"),
            event_type=text_of(headers, "Tandem-Event-Type"),
            reason=text_of(headers, "Tandem-Parked-Reason"),
            taken_back=_UNPARKED in headers,
        )
    except ProjectionError:
        return None


def was_parked(headers: Headers) -> bool:
    """Returns whether an event with these headers was parked by the relay before it was published."""
    return _UNPARKED in headers
