"""Turns one event into two documents: the order after the event, and the journal entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from query_service.projection.errors import ProjectionError, Unprojectable
from query_service.projection.evolve import evolve, with_personal_data
from query_service.projection.external_version import external_version
from query_service.projection.money_moved import MONEY_EVENTS, money_moved
from query_service.projection.order_document import EventDocument, OrderDocument, Origin
from query_service.projection.proto_json import message, text
from query_service.projection.stream_event import StreamEvent, parse_object
from query_service.projection.upcast import upcast


@dataclass(frozen=True, slots=True)
class ProjectedEvent:
    """The two documents that a store writes for an event, with the same external version.

    The event is applied when both are stored.
    """

    order: OrderDocument
    event: EventDocument
    external_version: int

    @property
    def order_id(self) -> str:
        """The UUID of the order, which is also the id of its document."""
        return self.order["order_id"]

    @property
    def version(self) -> int:
        """The order's version after the event."""
        return self.order["version"]

    @property
    def event_id(self) -> str:
        """The UUID of the event."""
        return self.event["event_id"]


def event_document_id(order_id: str, version: int) -> str:
    """Returns the id of a document in `order-events`."""
    return f"{order_id}/{version}"


def project(event: StreamEvent, revision: int = 0) -> ProjectedEvent:
    """Returns both documents of an event. Raises ProjectionError when its payload violates the contract."""
    moves = []
    if event.event_type in MONEY_EVENTS:
        moves = money_moved(event.event_type, upcast(dict(event.payload), event.schema_version))
    journal = EventDocument(
        order_id=event.order_id,
        version=event.version,
        source_epoch=event.source_epoch,
        revision=revision,
        event_id=event.event_id,
        aggregate_type=event.aggregate_type,
        event_type=event.event_type,
        schema_version=event.schema_version,
        occurred_at=event.occurred_at,
        recorded_at=event.recorded_at,
        position=event.position,
        actor=text(event.payload, "actor"),
        request_id=text(event.payload, "requestId"),
        reason=text(event.payload, "reason"),
        payload=event.payload_text,
        personal=event.personal_text,
        salt=event.salt,
        personal_digest=event.personal_digest,
        headers=event.recorded_headers,
        hash=event.hash,
        money=moves,
        money_moves=len(moves),
    )
    order = _order_after(journal, dict(event.payload), event.personal)
    return ProjectedEvent(order, journal, external_version(event.source_epoch, event.version, revision))


def without_personal_data(event: ProjectedEvent) -> ProjectedEvent:
    """Returns the event as a redaction leaves it. The redaction itself, and what comes after it, stays as it is."""
    if event.order["redacted"]:
        return event
    entry = event.event.copy()
    entry["personal"] = entry["salt"] = None
    return ProjectedEvent(order_after(entry), entry, event.external_version)


def order_after(entry: EventDocument) -> OrderDocument:
    """Returns the order as it was after a journal entry, projected by this release. Raises ProjectionError."""
    personal = None if entry["personal"] is None else parse_object(entry["personal"], "personal")
    return _order_after(entry, parse_object(entry["payload"], "payload"), personal)


def _order_after(entry: EventDocument, payload: dict[str, Any], personal: Mapping[str, Any] | None) -> OrderDocument:
    after_image = message(upcast(payload, entry["schema_version"]), "order")
    if after_image is None:
        raise ProjectionError(Unprojectable.MALFORMED, "order: the event carries no order")
    origin = Origin(
        source_epoch=entry["source_epoch"],
        revision=entry["revision"],
        event_id=entry["event_id"],
        recorded_at=entry["recorded_at"],
        hash=entry["hash"],
    )
    document = evolve(with_personal_data(after_image, personal), origin)
    if (document["order_id"], document["version"]) != (entry["order_id"], entry["version"]):
        raise ProjectionError(
            Unprojectable.CONTRADICTORY,
            f"the event is version {entry['version']} of {entry['order_id']}, but the order in it is version"
            f" {document['version']} of {document['order_id']}",
        )
    return document
