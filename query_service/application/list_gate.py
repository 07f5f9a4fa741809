"""What comes before every list, sum and count: the token honoured at *searchable*, and what the answer may say of
its own freshness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from query_service.application.await_orders import look_at_orders
from query_service.application.await_versions import Consistency, Look, VersionWaiter, lacking
from query_service.application.errors import Behind
from query_service.application.freshness import AnswerInfo, FreshnessView
from query_service.application.read_store import OrderReader, StoredOrder
from query_service.application.searchable import Searchability

#: When lists are known to be this much less fresh than look-ups (microseconds), a refresh is asked for; and waited for.
ASKED_FOR, WAITED_FOR = 1_000_000, 5_000_000


@dataclass(frozen=True, slots=True)
class Admission:
    """A list may be read now. `behind` is what the answer lacks of the token, None when nothing."""

    info: AnswerInfo
    behind: Behind | None = None


class ListGate:
    """Lets lists through once they contain what their token names."""

    def __init__(
        self, reader: OrderReader, waiter: VersionWaiter, applied: FreshnessView, searchable: Searchability
    ) -> None:
        self._reader, self._waiter, self._applied, self._searchable = reader, waiter, applied, searchable
        self._marked = ""

    async def admit(self, wanted: Consistency) -> Admission:
        """Waits until everything the token names is searchable, or says what `wanted` says when that takes too long.

        Raises Parked, Behind and TokenOfOtherSource.
        """
        stored: Sequence[StoredOrder] = ()
        stale = parked = False
        if wanted.source_epoch:
            answer = await self._waiter.answer(list(wanted.versions), wanted, lambda: self._look(wanted))
            stored, stale, parked = answer.found, answer.info.stale, answer.info.parked
        if stored:
            await self._searchable.catch_up()
        else:
            await self._keep_fresh()
        behind = next((_behind(order, wanted) for order in stored if lacking(order, wanted)), None)
        known = self._searchable.freshness
        info = AnswerInfo(None, "") if known is None else AnswerInfo(known.as_of, known.generation)
        return Admission(replace(info, stale=stale, parked=parked), behind)

    async def mark(self) -> str:
        """A mark in the sequence of writes; all that was written before it is searchable when this returns."""
        mark = await self._reader.mark()
        if mark != self._marked:
            await self._searchable.catch_up()
            self._marked = mark
        return mark

    async def _look(self, wanted: Consistency) -> Look[Sequence[StoredOrder]]:
        return look_at_orders(await self._reader.orders(list(wanted.versions)), wanted)

    async def _keep_fresh(self) -> None:
        """Lists become fresh by themselves, but only a refresh of ours tells that they have."""
        applied, known = self._applied.latest, self._searchable.freshness
        if applied is None or (known is not None and applied.as_of - known.as_of < ASKED_FOR):
            return
        if known is None or applied.as_of - known.as_of >= WAITED_FOR:
            await self._searchable.catch_up()
        else:
            self._searchable.ask()


def _behind(order: StoredOrder, wanted: Consistency) -> Behind:
    return Behind(order.order_id, lacking(order, wanted), order.version)
