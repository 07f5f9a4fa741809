"""Prepares every list, sum and count: waits until the token's versions are searchable, and reports freshness."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from query_service.application.freshness.await_orders import look_at_orders
from query_service.application.freshness.await_versions import Consistency, VersionWaiter, lacking
from query_service.application.freshness.searchable import Searchability
from query_service.application.freshness.view import AnswerInfo, FreshnessView
from query_service.application.ports.errors import Behind
from query_service.application.ports.read_store import OrderReader, StoredOrder

#: When lists are known to be this much less fresh than look-ups (microseconds), a refresh is asked for; and waited for.
ASKED_FOR, WAITED_FOR = 1_000_000, 5_000_000
#: What was recorded so long ago (microseconds) is most likely searchable: one search is cheaper than a refresh.
SETTLED = 3_000_000


@dataclass(frozen=True, slots=True)
class Admission:
    """A list may be read now. `behind` is what the answer lacks of the token, None if nothing."""

    info: AnswerInfo
    behind: Behind | None = None


class ListGate:
    """Admits lists once they contain what their token names. `clock` in seconds, `now` in microseconds."""

    def __init__(
        self,
        reader: OrderReader,
        waiter: VersionWaiter,
        applied: FreshnessView,
        searchable: Searchability,
        clock: Callable[[], float],
        now: Callable[[], int],
    ) -> None:
        self._reader, self._waiter, self._applied, self._searchable = reader, waiter, applied, searchable
        self._clock, self._now = clock, now
        self._marked = ""

    async def admit(self, wanted: Consistency) -> Admission:
        """Waits until everything that the token names is searchable; after `max_wait` does what `wanted` allows.

        Raises Parked, Behind and TokenOfOtherSource.
        """
        started = self._clock()
        stored: Sequence[StoredOrder] = ()
        stale = parked = False
        if wanted.source_epoch:
            named = list(wanted.versions)
            answer = await self._waiter.answer(named, wanted, lambda: look_at_orders(self._reader, named, wanted))
            stored, stale, parked = answer.found, answer.info.stale, answer.info.parked
        behind = next((_behind(order, wanted) for order in stored if lacking(order, wanted)), None)
        if stored:
            unlisted = await self._unlisted(stored, wanted, started + wanted.max_wait - self._clock())
            if unlisted is not None and not wanted.stale_allowed:
                raise unlisted
            behind, stale = behind or unlisted, stale or unlisted is not None
        else:
            await self._keep_fresh()
        known = self._searchable.freshness
        info = AnswerInfo(None, "") if known is None else AnswerInfo(known.as_of, known.generation)
        return Admission(replace(info, stale=stale, parked=parked), behind)

    async def mark(self) -> str:
        """Returns a mark in the sequence of writes; everything written before it is searchable when this returns.

        Without a refresh it is an earlier mark. Then some orders count as changed that did not change.
        """
        mark = await self._reader.mark()
        if mark != self._marked:
            if not await self._searchable.catch_up():
                return self._marked or self._reader.first_mark(mark)
            self._marked = mark
        return mark

    async def _unlisted(self, stored: Sequence[StoredOrder], wanted: Consistency, within: float) -> Behind | None:
        """Returns what lists still lack of the token's orders after a wait of up to so many seconds."""
        documents = [order.document for order in stored if order.document is not None]
        applied = {
            one["order_id"]: (one["source_epoch"], min(one["version"], wanted.version_of(one["order_id"])))
            for one in documents
        }
        settled = self._now() - max((document["recorded_at"] for document in documents), default=0) >= SETTLED
        missing = await self._searchable.missing(applied, max(0.0, within), settled=settled)
        return next((Behind(one, wanted.version_of(one), shown) for one, shown in missing.items()), None)

    async def _keep_fresh(self) -> None:
        """Requests a refresh: lists become fresh without one too, but only a requested refresh reports it."""
        applied, known = self._applied.latest, self._searchable.freshness
        if applied is None or (known is not None and applied.as_of - known.as_of < ASKED_FOR):
            return
        distant = known is None or applied.as_of - known.as_of >= WAITED_FOR
        if distant and self._searchable.answering:
            await self._searchable.catch_up()
        else:
            self._searchable.ask()


def _behind(order: StoredOrder, wanted: Consistency) -> Behind:
    return Behind(order.order_id, lacking(order, wanted), order.version)
