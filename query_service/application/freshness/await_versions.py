"""Waits, for a bounded time, until what the caller's token names is applied.

For look-ups by id *applied* is enough, because they see every acknowledged write at once. A query about some orders
waits for those orders only; other orders in the token do not change its answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from query_service.application.freshness.notice_board import NoticeBoard
from query_service.application.freshness.view import AnswerInfo, FreshnessView
from query_service.application.ports.errors import Behind, TokenOfOtherSource
from query_service.application.ports.read_store import StoredOrder

Found = TypeVar("Found")
#: Seconds after which a waiting reader looks again without a notice.
RECHECK_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Consistency:
    """How fresh the caller wants the answer: at least `versions` of these orders, in the history of `source_epoch`.

    `source_epoch` 0 means no token. `max_wait` in seconds.
    """

    source_epoch: int = 0
    versions: Mapping[str, int] = field(default_factory=dict)
    max_wait: float = 2.0
    stale_allowed: bool = False

    def version_of(self, order_id: str) -> int:
        """Returns the least version wanted of an order; 0 if any is good enough."""
        return max(0, self.versions.get(order_id, 0))


def lacking(stored: StoredOrder, wanted: Consistency) -> int:
    """Returns the version that the token names and the store has not applied; 0 if it lacks nothing."""
    needed = wanted.version_of(stored.order_id)
    if stored.document is not None and stored.document["source_epoch"] >= wanted.source_epoch:
        return needed if needed > stored.version else 0
    return needed


@dataclass(frozen=True, slots=True)
class Look(Generic[Found]):
    """The result of one read: an answer, and the version that it still lacks (0: nothing), of which order."""

    found: Found | None
    needed_version: int = 0
    current_version: int = 0
    #: The incarnation of the source that the found documents come from; 0 when nothing was found.
    source_epoch: int = 0
    #: A parked version is newer than what was found; `hopeless`: it is the needed one, so that no waiting helps.
    parked: bool = False
    hopeless: bool = False
    #: The order whose version is lacking; "" for the only one asked for.
    order_id: str = ""


@dataclass(frozen=True, slots=True)
class Answer(Generic[Found]):
    """What was found, and how fresh it is."""

    found: Found
    info: AnswerInfo


class WaitObserver(Protocol):
    """Counts waits."""

    def waited(self, outcome: str, seconds: float) -> None:
        """Counts a wait of so many seconds that ended as `applied`, `stale` or `behind`."""


class VersionWaiter:
    """Registers for notices and reads the store; while a version is missing it waits for a notice and reads again."""

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
        self, order_ids: Collection[str], wanted: Consistency, look: Callable[[], Awaitable[Look[Found]]]
    ) -> Answer[Found]:
        """Returns the first read that lacks nothing; after `max_wait` what `wanted` allows.

        Raises Behind and TokenOfOtherSource, and what `look` raises.
        """
        started = self._clock()
        waited = False
        with self._board.waiting(order_ids) as wake:
            while True:
                info = self._freshness.info()
                seen = await self._look(wanted, look)
                if seen is not None and seen.found is not None and not seen.needed_version:
                    if waited:
                        self._observer.waited("applied", self._clock() - started)
                    return Answer(seen.found, _noting(info, stale=False, parked=seen.parked))
                left = started + wanted.max_wait - self._clock()
                if left <= 0 or (seen is not None and seen.hopeless):
                    return self._late(order_ids, wanted, seen, info, self._clock() - started)
                waited = True
                await wake.wait(min(left, self._recheck))

    async def _look(self, wanted: Consistency, look: Callable[[], Awaitable[Look[Found]]]) -> Look[Found] | None:
        """Reads once; None while the read model does not follow the source epoch of the token."""
        followed = self._freshness.source_epoch
        if 0 < followed < wanted.source_epoch:
            return None  # it may be about to: a source that was restored tells its new epoch within seconds
        seen = await look() if followed <= wanted.source_epoch or not wanted.source_epoch else None
        followed = max(followed, seen.source_epoch if seen is not None else 0)
        if 0 < wanted.source_epoch < followed:
            raise TokenOfOtherSource(wanted.source_epoch, followed)
        return seen

    def _late(
        self,
        order_ids: Collection[str],
        wanted: Consistency,
        seen: Look[Found] | None,
        info: AnswerInfo,
        seconds: float,
    ) -> Answer[Found]:
        if seen is not None and seen.found is not None and wanted.stale_allowed:
            self._observer.waited("stale", seconds)
            return Answer(seen.found, _noting(info, stale=True, parked=seen.parked))
        self._observer.waited("behind", seconds)
        if seen is None:
            raise TokenOfOtherSource(wanted.source_epoch, self._freshness.source_epoch)
        raise Behind(seen.order_id or next(iter(order_ids)), seen.needed_version, seen.current_version)


def _noting(info: AnswerInfo, *, stale: bool, parked: bool) -> AnswerInfo:
    return AnswerInfo(info.as_of, info.generation, stale, parked)
