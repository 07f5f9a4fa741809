"""Checks many orders against a token with one read of all of them."""

from __future__ import annotations

from collections.abc import Sequence

from query_service.application.freshness.await_versions import Consistency, Look, lacking
from query_service.application.ports.errors import Parked
from query_service.application.ports.read_store import OrderReader, StoredOrder


async def look_at_orders(
    reader: OrderReader, order_ids: Sequence[str], wanted: Consistency
) -> Look[Sequence[StoredOrder]]:
    """Reads the orders; returns them, and the first that lacks a version.

    Raises Parked when a lacking version is parked and the caller does not accept stale answers.
    """
    stored = await reader.orders(order_ids)
    epoch = max((order.document["source_epoch"] for order in stored if order.document is not None), default=0)
    parked = any(order.lacks_parked_version for order in stored)
    behind = [(order, needed) for order in stored if (needed := lacking(order, wanted))]
    hopeless = [(order, needed) for order, needed in behind if needed in order.parked_versions]
    if not behind:
        return Look(stored, 0, 0, epoch, parked)
    order, needed = (hopeless or behind)[0]
    if hopeless and not wanted.stale_allowed:
        raise Parked(order.order_id, needed)
    return Look(stored, needed, order.version, epoch, parked, bool(hopeless), order.order_id)
