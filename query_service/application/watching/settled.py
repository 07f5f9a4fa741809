"""Tells of changes that reads do not show whether they ever will.

Usually a projector applies them within moments. But an order that the source lost may be removed, and a parked event
discarded. Then no read will show the change, and a front that waited for it would wait for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from query_service.application.ports.read_store import Freshness, OrderReader
from query_service.application.watching.change import Change, is_readable

#: How often the store is asked how fresh it is.
FRESHNESS_SECONDS = 1.0


class Settled:
    """Compares changes of one stream with the recorded freshness: up to it all changes are applied or parked."""

    def __init__(self, reader: OrderReader, stream_created_at: int, clock: Callable[[], float]) -> None:
        self._reader, self._stream_created_at, self._clock = reader, stream_created_at, clock
        self._known: Freshness | None = None
        self._asked = float("-inf")

    async def __call__(self, changes: Sequence[Change]) -> Mapping[int, bool]:
        """Returns, by sequence, of those changes that are settled but not readable, whether they are parked.

        Raises DependencyDown and ReadStoreNotReady.
        """
        if self._clock() - self._asked >= FRESHNESS_SECONDS:
            self._known, self._asked = await self._reader.freshness(), self._clock()
        known = self._known
        if known is None or known.stream_created_at != self._stream_created_at:
            return {}
        old = [change for change in changes if change.sequence <= known.sequence]
        if not old:
            return {}
        orders = list(dict.fromkeys(change.order_id for change in old))
        parked = {order.order_id: order.parked_versions for order in await self._reader.orders(orders)}
        # Once more, because a retry applies an event before it deletes the record.
        shown = dict(zip(orders, await self._reader.shown(orders), strict=True))
        now = await self._reader.freshness()
        if now is None or now.generation != known.generation:  # the look-ups may have asked the other generation
            self._asked = float("-inf")
            return {}
        return {
            change.sequence: change.edition[1] in parked[change.order_id]
            for change in old
            if not is_readable(change, shown[change.order_id])
        }
