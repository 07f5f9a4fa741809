"""Lets an answer wait, for a limited time, until the versions in the caller's token are applied.

A look-up by id sees every acknowledged write at once, so it need not wait for a refresh. A question about some orders
waits for those orders only. Other orders in the token do not change its answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Protocol, TypeVar

from query_service.application.freshness.notice_board import NoticeBoard
from query_service.application.freshness.view import AnswerInfo, FreshnessView
from query_service.application.ports.errors import Lagging, TokenOfOtherSource
from query_service.application.ports.read_store import StoredOrder

Found = TypeVar("Found")
#: A waiting reader reads the store again after so many seconds without a notice. The first is the first pause, the
#: second is the longest. Each pause is twice the one before, also after a notice.
#: A read model that lags has many waiting readers, and their reads must not make it slower still.
RECHECK_SECONDS, LONGEST_RECHECK_SECONDS = 0.25, 1.0


@dataclass(frozen=True, slots=True)
class Consistency:
    """How fresh the caller wants the answer: at least `versions` (by order id) of `source_epoch`.

    `source_epoch` is 0 when the caller has no token. `max_wait` is in seconds. When the wait is over, `stale_allowed`
    decides whether a stale answer is returned or Lagging is raised.
    """

    source_epoch: int = 0
    versions: Mapping[str, int] = field(default_factory=dict)
    max_wait: float = 2.0
    stale_allowed: bool = False

    def version_of(self, order_id: str) -> int:
        """Returns the lowest version of an order that the caller accepts; 0 when it accepts any."""
        return max(0, self.versions.get(order_id, 0))


def missing_version(stored: StoredOrder, wanted: Consistency) -> int:
    """Returns the order's version in the token if the store has not applied it yet, otherwise 0."""
    needed = wanted.version_of(stored.order_id)
    if stored.document is not None and stored.document["source_epoch"] >= wanted.source_epoch:
        return needed if needed > stored.version else 0
    return needed


class ReadAttempt(NamedTuple, Generic[Found]):
    """The result of reading the store once: an answer, and the version that it still lacks (`needed_version`).

    `needed_version` is 0 when the answer lacks nothing. `current_version` is the version of the order in the store.
    """

    found: Found | None
    needed_version: int = 0
    current_version: int = 0
    #: The source epoch of the documents read; 0 when there is no document.
    source_epoch: int = 0
    #: `parked`: a version newer than the answer is parked. `hopeless`: the needed version is parked: do not wait.
    parked: bool = False
    hopeless: bool = False
    #: The order that lacks the needed version; "" when the question is about one order.
    order_id: str = ""
    #: The generation that was read; "" when unknown.
    generation: str = ""


@dataclass(frozen=True, slots=True)
class Answer(Generic[Found]):
    """An answer, and how fresh it is."""

    found: Found
    info: AnswerInfo


class WaitObserver(Protocol):
    """Counts the waits for the versions in tokens."""

    def waited(self, outcome: str, seconds: float) -> None:
        """Counts a wait that ended after `seconds`. `outcome`: `applied`, `stale` or `behind`."""


class VersionWaiter:
    """Reads the store again and again until an answer lacks no version of the token.

    It registers for notices before the first read, so that it misses no change between a read and the wait. While a
    version is missing, it waits for a notice and reads again. Without a notice it reads again after `recheck` seconds,
    and then after pauses that double.
    """

    def __init__(
        self,
        board: NoticeBoard,
        freshness: FreshnessView,
        clock: Callable[[], float],
        observer: WaitObserver,
        *,
        recheck: float = RECHECK_SECONDS,
    ) -> None:
        self._board, self._freshness, self._clock, self._observer = board, freshness, clock, observer
        self._recheck = recheck

    async def answer(
        self, order_ids: Collection[str], wanted: Consistency, read: Callable[[], Awaitable[ReadAttempt[Found]]]
    ) -> Answer[Found]:
        """Returns the first answer that lacks nothing. After `wanted.max_wait` returns a stale one if that is allowed.

        Raises Lagging and TokenOfOtherSource when the wait ends without an answer, and whatever `read` raises. If
        `read` raises Lagging, it has found no answer yet.
        """
        started, recheck = self._clock(), self._recheck
        waited = False
        with self._board.waiting(order_ids) as wake:
            while True:
                claims = self._freshness.claims()
                seen = await self._attempt(wanted, read)
                info = claims.info("" if seen is None else seen.generation)
                if seen is not None and seen.found is not None and not seen.needed_version:
                    if waited:
                        self._observer.waited("applied", self._clock() - started)
                    return Answer(seen.found, _noting(info, stale=False, parked=seen.parked))
                left = started + wanted.max_wait - self._clock()
                if left <= 0 or (seen is not None and seen.hopeless):
                    return self._late(order_ids, wanted, seen, info, self._clock() - started)
                waited = True
                await wake.wait(min(left, recheck))
                recheck = max(recheck, min(2 * recheck, LONGEST_RECHECK_SECONDS))

    async def _attempt(
        self, wanted: Consistency, read: Callable[[], Awaitable[ReadAttempt[Found]]]
    ) -> ReadAttempt[Found] | None:
        """Reads once. Returns None while the read model is at an earlier source epoch than the token.

        Raises TokenOfOtherSource when the read model is at a later one.
        """
        followed = self._freshness.source_epoch
        if 0 < followed < wanted.source_epoch:
            return None  # wait: a restored source publishes its new epoch within seconds
        seen = None
        if followed <= wanted.source_epoch or not wanted.source_epoch:
            try:
                seen = await read()
            except Lagging as error:
                seen = ReadAttempt(None, error.needed_version, error.current_version, order_id=error.order_id)
        followed = max(followed, seen.source_epoch if seen is not None else 0)
        if 0 < wanted.source_epoch < followed:
            raise TokenOfOtherSource(wanted.source_epoch, followed)
        return seen

    def _late(
        self,
        order_ids: Collection[str],
        wanted: Consistency,
        seen: ReadAttempt[Found] | None,
        info: AnswerInfo,
        seconds: float,
    ) -> Answer[Found]:
        if seen is not None and seen.found is not None and wanted.stale_allowed:
            self._observer.waited("stale", seconds)
            return Answer(seen.found, _noting(info, stale=True, parked=seen.parked))
        self._observer.waited("behind", seconds)
        if seen is None:
            raise TokenOfOtherSource(wanted.source_epoch, self._freshness.source_epoch)
        raise Lagging(seen.order_id or next(iter(order_ids)), seen.needed_version, seen.current_version)


def _noting(info: AnswerInfo, *, stale: bool, parked: bool) -> AnswerInfo:
    if not stale and not parked:
        return info
    return AnswerInfo(info.as_of, info.generation, stale, parked)
