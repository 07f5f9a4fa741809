"""Runs before every list, sum and count. It waits until the token's versions are searchable.

It also determines how fresh the list will be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from query_service.application.freshness.await_orders import read_orders
from query_service.application.freshness.await_versions import Consistency, VersionWaiter, missing_version
from query_service.application.freshness.searchable import Searchability
from query_service.application.freshness.view import AnswerInfo, FreshnessView
from query_service.application.ports.errors import Lagging
from query_service.application.ports.read_store import Freshness, OrderReader, StoredOrder

#: By how much (microseconds) lists may be older than look-ups before a refresh is requested, and before a list waits
#: for that refresh.
REQUEST_LAG, WAIT_LAG = 1_000_000, 5_000_000
#: A change recorded longer ago than this (microseconds) is most likely searchable: a search is cheaper than a refresh.
SETTLED = 3_000_000


@dataclass(frozen=True, slots=True)
class Admission:
    """Permission to read a list now, and how fresh the list will be.

    `lagging` describes a version of the token that the list will lack; None: it will lack none.
    """

    info: AnswerInfo
    lagging: Lagging | None = None
    #: The freshness that searches have at least; None while it is unknown.
    listed: Freshness | None = None


class ListGate:
    """Lets a list be read once searches show the versions in its token.

    `clock` returns seconds, `now` microseconds since 1970.
    """

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
        self._searchable_mark = ""

    async def admit(self, wanted: Consistency) -> Admission:
        """Waits until every version in the token is searchable.

        After `wanted.max_wait` it admits a stale list when that is allowed. Raises Parked, Lagging and
        TokenOfOtherSource otherwise.
        """
        started = self._clock()
        stored: Sequence[StoredOrder] = ()
        stale = parked = False
        if wanted.source_epoch:
            named = list(wanted.versions)
            answer = await self._waiter.answer(named, wanted, lambda: read_orders(self._reader, named, wanted))
            stored, stale, parked = answer.found, answer.info.stale, answer.info.parked
        lagging = next((_lagging(order, wanted) for order in stored if missing_version(order, wanted)), None)
        if stored:
            unlisted = await self._unlisted(stored, wanted, started + wanted.max_wait - self._clock())
            if unlisted is not None and not wanted.stale_allowed:
                raise unlisted
            lagging, stale = lagging or unlisted, stale or unlisted is not None
        else:
            await self._refresh_if_lagging()
        known = self._searchable.freshness
        info = AnswerInfo(None, "") if known is None else AnswerInfo(known.as_of, known.generation)
        return Admission(replace(info, stale=stale, parked=parked), lagging, known)

    async def mark(self) -> str:
        """Returns a mark in the sequence of writes. Every write before it is searchable when this returns.

        If the refresh fails, it returns the last mark that was searchable. Then some unchanged orders count as changed.
        """
        mark = await self._reader.mark()
        if mark != self._searchable_mark:
            if not await self._searchable.catch_up():
                return self._searchable_mark or self._reader.first_mark(mark)
            self._searchable_mark = mark
        return mark

    async def _unlisted(self, stored: Sequence[StoredOrder], wanted: Consistency, within: float) -> Lagging | None:
        """Waits up to `within` seconds for the token's versions. Returns one that is not searchable then, or None."""
        documents = [order.document for order in stored if order.document is not None]
        applied = {
            document["order_id"]: (
                document["source_epoch"],
                min(document["version"], wanted.version_of(document["order_id"])),
            )
            for document in documents
        }
        settled = self._now() - max((document["recorded_at"] for document in documents), default=0) >= SETTLED
        missing = await self._searchable.missing(applied, max(0.0, within), settled=settled)
        return next(
            (Lagging(order_id, wanted.version_of(order_id), shown) for order_id, shown in missing.items()), None
        )

    async def _refresh_if_lagging(self) -> None:
        """Requests a refresh when lists lag.

        The index also refreshes by itself, but only a requested refresh lets this process know how fresh lists are.
        """
        applied, known = self._applied.latest, self._searchable.freshness
        if applied is None or (known is not None and applied.as_of - known.as_of < REQUEST_LAG):
            return
        must_wait = known is None or applied.as_of - known.as_of >= WAIT_LAG
        if must_wait and self._searchable.answering:
            await self._searchable.catch_up()
        else:
            self._searchable.ask()


def _lagging(order: StoredOrder, wanted: Consistency) -> Lagging:
    return Lagging(order.order_id, missing_version(order, wanted), order.version)
