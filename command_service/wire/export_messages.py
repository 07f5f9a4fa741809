"""Turns pages of exports, digests and cuts into the contract's messages."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from google.protobuf.json_format import Parse, ParseError
from tandem.orders.partition import PARTITIONS
from tandem.orders.v1 import order_export_service_pb2 as contract
from tandem.orders.v1.order_events_pb2 import OrderEvent, OrderPersonalData

from command_service.application.exporting.event_pages import EventPage
from command_service.application.exporting.order_pages import ExportedOrder, OrderPage
from command_service.application.exporting.ports import Digest, Snapshot, StoredEvent
from command_service.application.exporting.selections import START
from command_service.wire.values import timestamp_message

_EMPTY = Digest(0, hashlib.sha256().digest())


def order_page_parts(page: OrderPage) -> Iterator[bytes]:
    """Yields the parts of a page's message. Encoded messages that follow each other are one message to protobuf.

    So a page need not be encoded in one go.
    """
    for exported in page.orders:
        yield contract.ExportOrdersResponse(orders=[_exported_order(exported)]).SerializeToString()
    yield contract.ExportOrdersResponse(
        last_order_id="" if page.last == START else str(page.last),
        read_time=timestamp_message(page.read_time),
        source_epoch=page.source_epoch,
    ).SerializeToString()


def event_page_parts(page: EventPage) -> Iterator[bytes]:
    """Yields the parts of the message of a page of the journal, as `order_page_parts` does."""
    for event in page.events:
        yield contract.ExportEventsResponse(events=[event]).SerializeToString()
    yield contract.ExportEventsResponse(
        last_position=page.last, read_time=timestamp_message(page.read_time), source_epoch=page.source_epoch
    ).SerializeToString()


def digests_message(
    digests: Mapping[int, Digest], partitions: Sequence[int], snapshot: Snapshot
) -> contract.DigestOrdersResponse:
    """Returns the message of the digests of `partitions`, or of all if that is empty. Buckets without orders count."""
    return contract.DigestOrdersResponse(
        partitions=[
            _digest(partition, digests.get(partition, _EMPTY))
            for partition in sorted(set(partitions) or range(PARTITIONS))
        ],
        read_time=timestamp_message(snapshot.read_time),
        source_epoch=snapshot.source_epoch,
    )


def cuts_message(until: Sequence[UUID], orders: int) -> contract.SplitOrdersResponse:
    """Returns the message of the order ids that cut all orders into parts."""
    return contract.SplitOrdersResponse(until_order_ids=map(str, until), orders=orders)


def _exported_order(exported: ExportedOrder) -> contract.ExportedOrder:
    head = exported.head
    image: Any = exported.image
    return contract.ExportedOrder(
        order=image,
        event_id=str(head.event_id),
        hash=head.hash,
        events=exported.events,
        order_id=str(head.order_id),
        version=head.version,
        record_time=timestamp_message(head.recorded_at),
        events_continue=exported.continues,
    )


def stored_event(event: StoredEvent) -> contract.StoredEvent:
    """Returns the message of an event as the journal stores it."""
    link = event.link
    return contract.StoredEvent(
        position=event.position,
        event_id=str(link.event_id),
        aggregate_type=link.aggregate_type,
        order_id=str(link.aggregate_id),
        order_version=link.aggregate_version,
        event_type=link.event_type,
        occur_time=timestamp_message(link.occurred_at),
        record_time=timestamp_message(link.recorded_at),
        headers=link.headers,
        payload=link.payload,
        personal=event.personal,
        salt=event.salt or b"",
        personal_digest=link.personal_digest,
        hash=event.hash,
    )


def journal_event(event: StoredEvent) -> contract.JournalEvent:
    """Returns the message of an event in an export of the journal."""
    return contract.JournalEvent(
        position=event.position,
        hash=event.hash,
        record_time=timestamp_message(event.link.recorded_at),
        stored=stored_event(event),
    )


def typed_event(event: StoredEvent) -> contract.JournalEvent:
    """Returns the same message with the event's parsed texts."""
    message = journal_event(event)
    _fill(message.event, event.link.payload)
    if event.personal is not None:
        _fill(message.personal, event.personal)
    return message


def _fill(message: OrderEvent | OrderPersonalData, text: str) -> None:
    """Fills the message from its JSON, also from that of a newer release. A text that is none leaves it empty."""
    try:
        Parse(text, message, ignore_unknown_fields=True)
    except ParseError:
        message.Clear()


def _digest(partition: int, digest: Digest) -> contract.PartitionDigest:
    return contract.PartitionDigest(partition=partition, orders=digest.orders, digest=digest.sha256)
