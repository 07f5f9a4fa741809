"""Parks events that can never be published, and all later events of their aggregates.

An event is recorded before a cursor after it is published, so no event is skipped silently. Later events of its
aggregate are parked too, because the stream must have no gap within an aggregate. All other aggregates continue. An
operator can request a retry or a discard (`parking.requests`).
"""

from __future__ import annotations

import structlog

from relay.events.event import OutboxEvent
from relay.outbox.bookkeeping import PARKED_TABLE
from relay.outbox.database import DatabaseConnection
from relay.outbox.table import TableName

_log = structlog.get_logger(__name__)


class ParkedAggregates:
    """The aggregates that have parked events, and the position of the first one, from the table `outbox_parked`."""

    def __init__(self, outbox: TableName) -> None:
        self._table = outbox.beside(PARKED_TABLE).quoted
        self._first: dict[tuple[str | None, str | None], int] = {}

    def __len__(self) -> int:
        return len(self._first)

    async def load(self, connection: DatabaseConnection) -> None:
        """Reads which aggregates are parked now."""
        cursor = await connection.execute(
            f"SELECT aggregate_type, aggregate_id, min(position) FROM {self._table} GROUP BY 1, 2"  # noqa: S608
        )
        self._first = {(kind, aggregate): first for kind, aggregate, first in await cursor.fetchall()}

    def holds(self, event: OutboxEvent) -> bool:
        """Returns whether the event or an earlier one of its aggregate is parked, so that the event must be parked too.

        A leader that was killed, or a stream that is filled again, may bring events from before the first parked one.
        """
        first = self._first.get((event.aggregate_type, event.aggregate_id))
        return first is not None and event.position >= first

    async def park(self, connection: DatabaseConnection, event: OutboxEvent, reason: str) -> str:
        """Records the event as parked. After that, a cursor after the event may be published.

        Returns the reason on record. To park an event again is no error, and it keeps its first reason.
        """
        rows = await connection.execute(
            f"""WITH fresh AS (
                    INSERT INTO {self._table}
                        (position, aggregate_type, aggregate_id, aggregate_version, reason, parked_at)
                    VALUES (%s, %s, %s, %s, %s, now()) ON CONFLICT (position) DO NOTHING RETURNING reason)
                SELECT reason FROM fresh UNION ALL SELECT reason FROM {self._table} WHERE position = %s""",  # noqa: S608
            [event.position, event.aggregate_type, event.aggregate_id, event.aggregate_version, reason, event.position],
        )
        recorded = await rows.fetchone()
        if not self.holds(event):
            _log.error("aggregate parked", position=event.position, aggregate_id=event.aggregate_id, reason=reason)
        aggregate = event.aggregate_type, event.aggregate_id
        self._first[aggregate] = min(event.position, self._first.get(aggregate, event.position))
        return recorded[0] or reason if recorded is not None else reason
