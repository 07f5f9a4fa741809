"""Runs before every list, sum and count. It waits until the token's versions are searchable.

It also determines how fresh the list will be. A switch between two generations may come between the wait and the list.
Then the wait was for the other generation, and both are repeated.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from query_service.application.freshness.await_orders import read_orders
from query_service.application.freshness.await_versions import (
    Consistency,
    ReadAttempt,
    VersionWaiter,
    missing_version,
)
from query_service.application.freshness.searchable import Searchability
from query_service.application.freshness.view import AnswerInfo, Claims, FreshnessView
from query_service.application.ports.errors import Lagging
from query_service.application.ports.read_store import OrderReader, StoredOrder

#: By how much (microseconds) lists may be older than look-ups before a refresh is requested, and before a list waits
#: for that refresh.
REQUEST_LAG, WAIT_LAG = 1_000_000, 5_000_000
#: A change recorded longer ago than this (microseconds) is most likely searchable: a search is cheaper than a refresh.
SETTLED = 3_000_000


class Listed(Protocol):
    """An answer over many orders."""

    @property
    def generation(self) -> str:
        """The generation that answered; "" when the answer does not tell it."""


Answered = TypeVar("Answered", bound=Listed)


@dataclass(frozen=True, slots=True)
class Admission:
    """Permission to read a list now, and how fresh the list will be.

    `lagging` describes a version of the token that the list will lack; None: it will lack none. The permission is for
    lists of `generation` only; "": of any.
    """

    claims: Claims
    stale: bool = False
    parked: bool = False
    lagging: Lagging | None = None
    generation: str = ""

    def info(self, generation: str) -> AnswerInfo:
        """Returns how fresh a list of this generation is; "" when its generation is unknown."""
        info = self.claims.info(generation)
        return AnswerInfo(info.as_of, info.generation, self.stale, self.parked, info.not_final)


class ListGate:
    """Lets a list be read once searches show the versions in its token.

    `applied` says how fresh look-ups are, `listed` how fresh lists are. `searchable` returns the part that makes the
    lists of a generation fresher. `clock` returns seconds, `now` microseconds since 1970.
    """

    def __init__(
        self,
        reader: OrderReader,
        waiter: VersionWaiter,
        applied: FreshnessView,
        listed: FreshnessView,
        searchable: Callable[[str], Searchability],
        clock: Callable[[], float],
        now: Callable[[], int],
    ) -> None:
        self._reader, self._waiter, self._applied, self._listed = reader, waiter, applied, listed
        self._searchable, self._clock, self._now = searchable, clock, now
        self._searchable_mark = ""

    async def read(
        self, wanted: Consistency, question: Callable[[], Awaitable[Answered]]
    ) -> tuple[Answered, Admission]:
        """Returns the answer to `question`, which shows every version in the token, and its admission.

        Raises as `admit`, and what `question` raises. If that is Lagging, the question is asked again until
        `wanted.max_wait` is over.
        """
        started = self._clock()
        while True:
            admission = await self.admit(wanted)
            try:
                answered = await question()
            except Lagging as lagging:
                within = max(0.0, started + wanted.max_wait - self._clock())
                answered = await self._asked_again(question, lagging.order_id, replace(wanted, max_wait=within))
            if not admission.generation:
                return answered, admission
            generation = answered.generation or (await self._reader.standing()).serving
            if generation == admission.generation:
                return answered, admission

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
        generation = stored[0].generation if stored else ""
        return Admission(self._listed.claims(), stale, parked, lagging, generation)

    async def _asked_again(
        self, question: Callable[[], Awaitable[Answered]], order_id: str, wanted: Consistency
    ) -> Answered:
        async def read() -> ReadAttempt[Answered]:
            return ReadAttempt(await question())

        return (await self._waiter.answer([order_id], wanted, read)).found

    async def mark(self) -> str:
        """Returns a mark in the sequence of writes. Every write before it is searchable when this returns.

        If the refresh fails, it returns the last mark that was searchable. Then some unchanged orders count as changed.
        """
        mark = await self._reader.mark()
        if mark != self._searchable_mark:
            if not await self._searchable(self._reader.marked(mark)).catch_up():
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
        searchable = self._searchable(stored[0].generation)
        missing = await searchable.missing(applied, max(0.0, within), settled=settled)
        return next(
            (Lagging(order_id, wanted.version_of(order_id), shown) for order_id, shown in missing.items()), None
        )

    async def _refresh_if_lagging(self) -> None:
        """Requests a refresh when lists lag.

        The index also refreshes by itself, but only a requested refresh lets this process know how fresh lists are.
        """
        serving = self._applied.serving
        applied, known, searchable = self._applied.latest, self._listed.of(serving), self._searchable(serving)
        if applied is None or (known is not None and applied.as_of - known.as_of < REQUEST_LAG):
            return
        must_wait = known is None or applied.as_of - known.as_of >= WAIT_LAG
        if must_wait and searchable.answering:
            await searchable.catch_up()
        else:
            searchable.ask()


def _lagging(order: StoredOrder, wanted: Consistency) -> Lagging:
    return Lagging(order.order_id, missing_version(order, wanted), order.version)
