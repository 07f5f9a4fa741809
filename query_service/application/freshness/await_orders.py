"""Reads many orders together, and checks them against a token."""

from __future__ import annotations

from collections.abc import Sequence

from query_service.application.freshness.await_versions import Consistency, ReadAttempt, missing_version
from query_service.application.ports.errors import Parked
from query_service.application.ports.read_store import OrderReader, StoredOrder


async def read_orders(
    reader: OrderReader, order_ids: Sequence[str], wanted: Consistency
) -> ReadAttempt[Sequence[StoredOrder]]:
    """Reads the orders once. The result has all of them, and reports one that lacks its version of the token.

    An order whose missing version is parked is reported before others. For it this raises Parked, unless the caller
    allows a stale answer.
    """
    stored = await reader.orders(order_ids)
    epoch = max((order.document["source_epoch"] for order in stored if order.document is not None), default=0)
    generation = stored[0].generation if stored else ""
    parked = any(order.lacks_parked_version for order in stored)
    lagging = [(order, needed) for order in stored if (needed := missing_version(order, wanted))]
    hopeless = [(order, needed) for order, needed in lagging if needed in order.parked_versions]
    if not lagging:
        return ReadAttempt(stored, 0, 0, epoch, parked, generation=generation)
    order, needed = (hopeless or lagging)[0]
    if hopeless and not wanted.stale_allowed:
        raise Parked(order.order_id, needed)
    return ReadAttempt(stored, needed, order.version, epoch, parked, bool(hopeless), order.order_id, generation)
