"""The journal within one transaction. Positions are drawn by the inserts, after whatever locks the order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from tandem.orders.partition import partition_of

from command_service.application.event_record import AGGREGATE_TYPE, EventRecord
from command_service.storage.statements import insert_row
from command_service.storage.tables import outbox
from command_service.storage.transaction import Transaction

APPEND = insert_row(outbox)
_FIELDS = tuple(field.name for field in fields(EventRecord))


class PostgresOutbox:
    """Appends events."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def append(self, records: Sequence[EventRecord]) -> None:
        """One statement per event, with the commit, so that positions rise with versions."""
        for record in records:
            row = {name: getattr(record, name) for name in _FIELDS}
            row |= {"aggregate_type": AGGREGATE_TYPE, "partition": partition_of(record.aggregate_id)}
            self._transaction.queue(APPEND.sql, APPEND.row(row))
