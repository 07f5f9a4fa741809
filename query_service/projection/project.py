"""Turns one event into two documents: the order after the event, and the journal entry."""

from __future__ import annotations

from msgspec import Struct

from query_service.projection.errors import ProjectionError, Unprojectable
from query_service.projection.evolve import evolve
from query_service.projection.external_version import external_version
from query_service.projection.money_moved import MONEY_EVENTS, money_moved
from query_service.projection.order_document import EventDocument, OrderDocument, Origin
from query_service.projection.recorded_order import Payload, PersonalData, read_payload, read_personal_data
from query_service.projection.stream_event import StreamEvent


class ProjectedEvent(Struct, frozen=True):
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
    payload = event.payload
    moves = money_moved(event.event_type, payload) if event.event_type in MONEY_EVENTS else []
    journal: EventDocument = {
        "order_id": event.order_id,
        "version": event.version,
        "source_epoch": event.source_epoch,
        "revision": revision,
        "event_id": event.event_id,
        "aggregate_type": event.aggregate_type,
        "event_type": event.event_type,
        "schema_version": event.schema_version,
        "occurred_at": event.occurred_at,
        "recorded_at": event.recorded_at,
        "position": event.position,
        "actor": payload.actor,
        "request_id": payload.request_id,
        "reason": payload.reason,
        "payload": event.payload_text,
        "personal": event.personal_text,
        "salt": event.salt,
        "personal_digest": event.personal_digest,
        "headers": event.recorded_headers,
        "hash": event.hash,
        "money": moves,
        "money_moves": len(moves),
    }
    order = _order_after(journal, payload, event.personal)
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
    personal = None if entry["personal"] is None else read_personal_data(entry["personal"])
    return _order_after(entry, read_payload(entry["payload"], entry["schema_version"]), personal)


def _order_after(entry: EventDocument, payload: Payload, personal: PersonalData | None) -> OrderDocument:
    if payload.order is None:
        raise ProjectionError(Unprojectable.MALFORMED, "order: the event carries no order")
    origin: Origin = {
        "source_epoch": entry["source_epoch"],
        "revision": entry["revision"],
        "event_id": entry["event_id"],
        "recorded_at": entry["recorded_at"],
        "hash": entry["hash"],
    }
    document = evolve(payload.order, personal, origin)
    if (document["order_id"], document["version"]) != (entry["order_id"], entry["version"]):
        raise ProjectionError(
            Unprojectable.CONTRADICTORY,
            f"the event is version {entry['version']} of {entry['order_id']}, but the order in it is version"
            f" {document['version']} of {document['order_id']}",
        )
    return document
