"""Makes the bundle of an order from the journal and the log."""

from __future__ import annotations

from uuid import UUID

import psycopg

from audit.proving.bundle import Bundle, ProvedEvent
from audit.proving.journal import ExportedJournal, Journal
from audit.storage import checkpoints, leaf_rows
from audit.storage.tree_nodes import TreeNodes


class NotProved(Exception):  # noqa: N818 - says what happened
    """The bundle cannot be made. `later`: it can once a newer checkpoint is signed."""

    def __init__(self, reason: str, *, later: bool = False) -> None:
        super().__init__(reason)
        self.later = later


async def prove(connection: psycopg.AsyncConnection, journal: ExportedJournal, order_id: UUID) -> Bundle:
    """Returns the bundle of an order, with a note that the witness has signed if one covers all its events.

    Raises NotProved, MissingNode, psycopg.Error, grpc.aio.AioRpcError.
    """
    order = await _order(journal, order_id)
    leaves = await leaf_rows.of_events(connection, [event.event_id for event in order.events])
    for event in order.events:
        if event.event_id not in leaves:
            raise NotProved(f"version {event.version} of order {order_id} is not in the log yet", later=True)
    needed = max(row.leaf_index for row in leaves.values()) + 1
    newest = await checkpoints.newest(connection, cosigned=True)
    if newest is None or newest.size < needed:
        newest = await checkpoints.newest(connection)
    if newest is None or newest.size < needed:
        raise NotProved(f"no signed checkpoint covers all versions of order {order_id} yet", later=True)
    nodes = TreeNodes(connection)
    proved = []
    for event in order.events:
        index = leaves[event.event_id].leaf_index
        proved.append(ProvedEvent(event, index, await nodes.inclusion(index, newest.size)))
    return Bundle(order_id, newest.best_note, proved)


async def _order(journal: ExportedJournal, order_id: UUID) -> Journal:
    async for order in journal.orders([order_id]):
        return order
    raise NotProved(f"there is no order {order_id}")
