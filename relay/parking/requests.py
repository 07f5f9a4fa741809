"""Executes operators' requests about parked aggregates. A request is a row that the leader finds, executes and answers.

Before it begins, the leader records the stream's end in the request. After a crash, the next leader reads the stream
from there on, and so learns which of its messages are stored already.

- *retry*: the leader publishes the aggregate's parked events at the end of the stream, in their order. It deletes an
  event from `outbox_parked` only after the ack.
- *discard*: the leader publishes a notice for each event, and then deletes one or all parked events of an aggregate
  from `outbox_parked`. Their positions stay in the request, so that an adoption does not publish them as missing.
"""
# ruff: noqa: S608 - all that is put into SQL here is a quoted identifier

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from relay.events.event import OutboxEvent
from relay.events.header_value import decode
from relay.events.parked_notice import DISCARDED, UNPARKED_HEADER
from relay.outbox.bookkeeping import PARKED_TABLE
from relay.outbox.database import DatabaseConnection
from relay.outbox.fetch_events import fetch_events
from relay.outbox.request_table import REQUEST_TABLE
from relay.outbox.table import OutboxTable
from relay.stream.history import POSITION_HEADER, StreamHistory

RETRY = "retry"
#: The condition for the events of a request. In other outboxes than ours, events may lack type or id.
_MINE = (
    "coalesce(aggregate_type, '') = %(kind)s AND coalesce(aggregate_id, '') = %(aggregate)s"
    " AND position = coalesce(%(position)s::bigint, position)"
)


@dataclass(frozen=True, slots=True)
class Request:
    """One request. If `position` is given, the request is for that event only.

    `begun_behind` is the stream's last sequence before the leader began; None if it has not begun.
    """

    id: int
    action: str
    aggregate_type: str
    aggregate_id: str
    position: int | None
    begun_behind: int | None


class ParkedRequests:
    """Reads and answers the requests for one stream, over the leader's session."""

    def __init__(self, table: OutboxTable, connection: DatabaseConnection, history: StreamHistory, stream: str) -> None:
        self._table = table
        self._connection = connection
        self._history = history
        self._stream = stream
        self._requests = table.name.beside(REQUEST_TABLE).quoted
        self._parked = table.name.beside(PARKED_TABLE).quoted

    async def first(self) -> Request | None:
        """Returns the oldest unanswered request; None if there is none. The table may not exist yet."""
        found = await self._connection.execute(
            "SELECT to_regclass(%s) IS NOT NULL", [self._requests.replace("%%", "%")]
        )
        if not (await found.fetchone() or (False,))[0]:
            return None
        rows = await self._connection.execute(
            "SELECT id, action, aggregate_type, aggregate_id, position, begun_behind"
            f" FROM {self._requests} WHERE stream = %s AND done_at IS NULL ORDER BY id LIMIT 1",
            [self._stream],
        )
        row = await rows.fetchone()
        return Request(*row) if row is not None else None

    async def begin(self, request: Request, stored_sequence: int) -> frozenset[int]:
        """Records the stream's end before the execution begins.

        If an earlier attempt has begun already, deletes the events that it has published, as the stream shows them.
        Returns the positions whose discard it has announced.
        """
        if request.begun_behind is None:
            await self._connection.execute(
                f"UPDATE {self._requests} SET begun_behind = %s WHERE id = %s", [stored_sequence, request.id]
            )
            return frozenset()
        published: list[str] = []
        announced: set[int] = set()
        async with contextlib.aclosing(self._history.headers(request.begun_behind + 1)) as chunks:
            async for chunk in chunks:
                published += [decode(headers["ce-id"]) for _, headers in chunk if "ce-id" in headers]
                announced |= {
                    int(headers[POSITION_HEADER])
                    for _, headers in chunk
                    if headers.get(UNPARKED_HEADER) == DISCARDED and headers.get(POSITION_HEADER, "").isdecimal()
                }
                await self._connection.execute("SELECT 1")  # keeps the leader's session alive
        await self._connection.execute(
            f"DELETE FROM {self._parked} AS p USING {self._table.name.quoted} AS o"
            f" WHERE p.position = o.{self._table.position} AND o.{self._table.event_id} = ANY(%s::text[])"
            " AND coalesce(p.aggregate_type, '') = %s AND coalesce(p.aggregate_id, '') = %s",
            [published, request.aggregate_type, request.aggregate_id],
        )
        return frozenset(announced)

    async def waiting(self, request: Request, most: int, most_bytes: int, after: int = -1) -> list[OutboxEvent]:
        """Returns the first parked events of the request after a position, within the limits of number and bytes."""
        mine = f"(SELECT position AS tandem_position FROM {self._parked} WHERE {_MINE}) AS tandem_parked"
        query = self._table.joined(mine, "tandem_position", after, most, _parameters(request))
        return (await fetch_events(self._connection, query, most_bytes))[0]

    async def published(self, positions: Sequence[int]) -> None:
        """Deletes parked events that the stream has stored."""
        await self._connection.execute(f"DELETE FROM {self._parked} WHERE position = ANY(%s::bigint[])", [positions])

    async def discard(self, request: Request) -> None:
        """Deletes the events of the request, and answers the request. Their discard must be in the stream by then."""
        await self._connection.execute(
            f"""WITH gone AS (
                    DELETE FROM {self._parked} WHERE {_MINE} RETURNING position)
                UPDATE {self._requests} SET done_at = now(), positions = (SELECT array_agg(position) FROM gone),
                       outcome = 'discarded ' || (SELECT count(*) FROM gone) || ' events'
                 WHERE id = %(id)s""",
            {**_parameters(request), "id": request.id},
        )

    async def answer(self, request: Request, outcome: str) -> None:
        """Writes the answer of a request, which ends the request."""
        await self._connection.execute(
            f"UPDATE {self._requests} SET done_at = now(), outcome = %s WHERE id = %s", [outcome, request.id]
        )


def _parameters(request: Request) -> dict[str, Any]:
    return {"kind": request.aggregate_type, "aggregate": request.aggregate_id, "position": request.position}
