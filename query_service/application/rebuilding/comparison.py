"""Compares a generation with the write side: every order's version and hash, and some orders field by field.

The write side goes on meanwhile, so an order may be newer in the generation than it was in the export. That is no
difference. An order that the write side does not have is found by the counts.
"""

from __future__ import annotations

from query_service.application.ports.order_source import OrderHead, OrderSource
from query_service.application.ports.read_store import ProjectionWriter, StoredOrder
from query_service.application.rebuilding.rebuilds import Comparison
from query_service.projection.project import order_after

#: One order in so many is compared field by field with what its journal entry gives.
SAMPLE_EVERY = 50
#: The most differences that are named.
MOST_NAMED = 10


async def compared(store: ProjectionWriter, source: OrderSource) -> Comparison:
    """Returns how many orders were compared, and what differs. Raises DependencyDown and ReadStoreNotReady.

    Everything that was committed before the call must be applied in the store.
    """
    orders = 0
    differences: list[str] = []
    async for page in source.heads():
        stored = await store.orders([head.order_id for head in page.heads])
        for head, order in zip(page.heads, stored, strict=True):
            orders += 1
            difference = _difference(head, order) or (orders % SAMPLE_EVERY == 1 and await _altered(store, order))
            if difference and len(differences) < MOST_NAMED:
                differences.append(difference)
    return Comparison(orders, tuple(differences))


def _difference(head: OrderHead, stored: StoredOrder) -> str:
    """Returns how the stored order contradicts the write side; "" when it does not."""
    document = stored.document
    if stored.lacks_parked_version or (document is not None and document["version"] > head.version):
        return ""  # a projection that fails is told as parked; a newer version came after the export
    if document is None:
        return f"order {head.order_id} is missing"
    if document["version"] < head.version:
        return f"order {head.order_id} is at version {document['version']}, on the write side at {head.version}"
    if document["hash"] != head.hash:
        return f"order {head.order_id} has another event of version {head.version} than the write side"
    return ""


async def _altered(store: ProjectionWriter, order: StoredOrder) -> str:
    """Returns how a document differs from its journal entry; "" when it does not."""
    if order.document is None:
        return ""
    version = order.document["version"]
    entries = await store.entries(order.order_id, range(1, version + 1))
    lacking = [number for number, entry in enumerate(entries, 1) if entry is None]
    if lacking:
        parked = set(order.parked_versions)
        unknown = [number for number in lacking if number not in parked]
        return f"order {order.order_id} has no journal entry of version {unknown[0]}" if unknown else ""
    last = entries[-1]
    assert last is not None
    wanted = order_after(last)
    fields = [name for name, value in wanted.items() if order.document.get(name) != value]
    return f"order {order.order_id} differs in {', '.join(fields)} from its journal entry" if fields else ""
