"""Builds the statements that read the journal for an export."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from command_service.application.exporting.ports import StoredEvent
from command_service.application.exporting.selections import EventSelection
from command_service.domain.hash_chain import Link
from command_service.storage.connection.message_writer import Statement
from command_service.storage.connection.round_trip import Row

# JSON as text, because the hash covers the stored text.
_EVENT = (
    "position, personal::text, salt, hash, event_id, aggregate_type, aggregate_id, aggregate_version, event_type,"
    " occurred_at, recorded_at, headers::text, payload::text, personal_digest"
)
JOURNALS = (
    f"SELECT {_EVENT} FROM outbox WHERE aggregate_id = ANY($1::uuid[])"  # noqa: S608
    " AND (aggregate_id, aggregate_version) > ($2::uuid, $3::bigint) ORDER BY aggregate_id, aggregate_version"
)


def journals_of(order_ids: Sequence[UUID], after_version: int) -> Statement:
    """Returns the statement for all events of these sorted orders; of the first one only those after a version."""
    return JOURNALS, (list(order_ids), order_ids[0], after_version)


def events_of(selection: EventSelection, until: int, limit: int) -> Statement:
    """Returns the statement for selected events up to the position `until`."""
    conditions, values = [], []
    for place, (condition, value) in enumerate(_conditions(selection), start=4):
        conditions.append(f" AND {condition.format(f'${place}')}")
        values.append(value)
    return (
        f"SELECT {_EVENT} FROM outbox WHERE position > $2::bigint AND position <= $3::bigint{''.join(conditions)}"  # noqa: S608
        " ORDER BY position LIMIT $1"
    ), [limit, selection.after, until, *values]


def event_of(row: Row) -> StoredEvent:
    """Returns the event from a row of either statement."""
    position, personal, salt, chained, *link = row
    return StoredEvent(position, Link(*link), personal, salt, chained)


def _conditions(selection: EventSelection) -> Iterator[tuple[str, Any]]:
    given: tuple[tuple[str, Any], ...] = (
        ("aggregate_id = ANY({}::uuid[])", list(selection.order_ids)),
        ("event_type = ANY({}::text[])", list(selection.event_types)),
        ("recorded_at < {}::timestamptz", selection.recorded_until),
    )
    for condition, value in given:
        if value:
            yield condition, value
