"""Returns many orders by id, each at its latest applied version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from query_service.application.freshness.await_orders import read_orders
from query_service.application.freshness.await_versions import Answer, Consistency, ReadAttempt, VersionWaiter
from query_service.application.ports.errors import Parked
from query_service.application.ports.read_store import OrderReader, StoredOrder
from query_service.application.questions.encoded_orders import encoded_orders


@dataclass(frozen=True, slots=True)
class OrderBatch:
    """The encoded orders that were found, in the sequence of the requested ids, and the ids without an order."""

    orders: list[bytes]
    missing: list[str]


class BatchGetOrders:
    """Reads many orders by id, as fresh as the caller wants."""

    def __init__(self, reader: OrderReader, waiter: VersionWaiter) -> None:
        self._reader, self._waiter = reader, waiter

    async def __call__(
        self, order_ids: Sequence[str], wanted: Consistency, *, basic: bool = False
    ) -> Answer[OrderBatch]:
        """Returns the orders; with `basic` as ORDER_VIEW_BASIC. Waits only for the token's versions of these orders.

        An order in the token is never reported as missing. If only parked versions of an order are known, this raises
        Parked; if a stale answer is allowed, the order is reported as missing and the answer as `parked` instead.
        Raises Parked, Lagging, TokenOfOtherSource and RebuildNeeded.
        """
        distinct = list(dict.fromkeys(order_ids))
        encoded: dict[str, bytes] = {}

        async def read() -> ReadAttempt[Sequence[StoredOrder]]:
            seen = await read_orders(self._reader, distinct, wanted)
            absent = any(order.document is None and wanted.version_of(order.order_id) for order in seen.found or ())
            if seen.needed_version and (absent or not wanted.stale_allowed):
                return seen._replace(found=None)
            known = [order.document for order in seen.found or () if order.document is not None]
            orders = await encoded_orders(known, self._reader.entries, basic=basic)
            encoded.update(zip((document["order_id"] for document in known), orders, strict=True))
            return seen

        answer = await self._waiter.answer(distinct, wanted, read)
        found = {stored.order_id: stored for stored in answer.found}
        asked = [found[order_id] for order_id in order_ids]
        for stored in asked:
            if stored.document is None and stored.parked_versions and not wanted.stale_allowed:
                raise Parked(stored.order_id, stored.parked_versions[-1])
        orders = [encoded[stored.order_id] for stored in asked if stored.document is not None]
        missing = [stored.order_id for stored in asked if stored.document is None]
        return Answer(OrderBatch(orders, missing), answer.info)
