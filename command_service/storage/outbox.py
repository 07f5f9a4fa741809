"""The journal within one transaction. Positions are drawn by the inserts, after whatever locks the order."""

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
        """One event, with the commit."""
        self._transaction.queue(APPEND.sql, APPEND.row(event_row(record)))
