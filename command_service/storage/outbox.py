"""Appends to the outbox within one transaction. The inserts draw positions after the order is locked."""

from __future__ import annotations

from command_service.application.event_record import EventRecord
from command_service.storage.order_rows import event_row
from command_service.storage.statements import insert_row
from command_service.storage.tables import outbox
from command_service.storage.transaction import Transaction

APPEND = insert_row(outbox)


class PostgresOutbox:
    """Appends events."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def append(self, record: EventRecord) -> None:
        """Adds one event, with the commit."""
        self._transaction.queue(APPEND.sql, APPEND.row(event_row(record)))
