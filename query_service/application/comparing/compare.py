"""Compares a whole read model with the write side in one round.

1. Ask for the write side's digests, all of one moment.
2. Wait for a barrier: everything of that moment is applied, and then refreshed.
3. Pass over the read model in the sequence of order ids. This gives the same digests, and checks each order's content.
4. Of the buckets whose digests differ, compare the heads of all orders with a second pass.
5. Look each suspect up on both sides, behind a barrier of its own.

While orders are written nearly every digest differs, because the read model is ahead. Steps 4 and 5 then decide.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from query_service.application.comparing.barrier import AppliedBarrier
from query_service.application.comparing.content import ContentCheck
from query_service.application.comparing.digests import DigestsOfScan
from query_service.application.comparing.findings import Finding
from query_service.application.comparing.heads import SuspectCheck, suspects
from query_service.application.comparing.pace import FullPace, Pace
from query_service.application.ports.checked_store import CheckedStore
from query_service.application.ports.order_source import OrderHead, OrderSelection, OrderSource, SourceDigests

#: After so many findings a round ends early: the read model needs a rebuild, not a list.
MOST_FINDINGS = 10_000


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of a round. It compared what the write side had at `compared_at` (microseconds since 1970).

    `orders` is the number of orders then, and `checked` the number of orders whose content was checked. `complete` is
    False when the round ended early, because of too many findings.
    """

    compared_at: int
    source_epoch: int
    seconds: float
    orders: int
    checked: int
    findings: Sequence[Finding] = field(default=())
    complete: bool = True


class ReadModelComparison:
    """Compares `store` with `source`. `bucket_of` returns an order's bucket, `clock` seconds."""

    def __init__(
        self,
        store: CheckedStore,
        source: OrderSource,
        bucket_of: Callable[[str], int],
        clock: Callable[[], float],
        *,
        patience: float = 30.0,
        pace: Pace | None = None,
    ) -> None:
        self._store, self._source, self._bucket_of, self._clock = store, source, bucket_of, clock
        self._pace = pace or FullPace()
        self._barrier = AppliedBarrier(store, clock, patience=patience)
        self._suspects = SuspectCheck(store, source, self._barrier)
        self._content = ContentCheck(store, source, self._barrier, self._pace)

    async def __call__(self, sample: int | None = None, turn: int | None = None) -> Comparison:
        """Compares all orders, and the content of about `sample` of them, chosen evenly; of all when None.

        Each `turn` chooses others, and turns in a row choose all orders. None: at random.

        Raises ReadModelLags, DependencyDown, SourceRefused and ReadStoreNotReady.
        """
        started = self._clock()
        digests = await self._source.digests()
        orders = sum(bucket.orders for bucket in digests.buckets)
        await self._barrier.passed(digests.read_time, digests.source_epoch)
        await self._store.refresh()
        await self._content.begin()
        differing, doubtful, checked = await self._pass(digests, orders, sample, turn)
        found = await self._drill_down(differing)
        known = {finding.order_id for finding in found}
        if len(found) < MOST_FINDINGS:
            found += await self._content.findings([order_id for order_id in doubtful if order_id not in known])
        return Comparison(
            digests.read_time,
            digests.source_epoch,
            self._clock() - started,
            orders,
            checked,
            found[:MOST_FINDINGS],
            complete=len(found) < MOST_FINDINGS,
        )

    async def _pass(
        self, digests: SourceDigests, orders: int, sample: int | None, turn: int | None
    ) -> tuple[list[int], list[str], int]:
        """Returns the buckets that differ, the ids whose content must be looked at, and how many were checked."""
        own = DigestsOfScan(self._bucket_of)
        doubtful: list[str] = []
        stride = 1 if not sample else max(1, orders // sample)
        number = random.randrange(stride) if turn is None else turn % stride  # noqa: S311 - a sample, no secret
        scanned = 0
        async with aclosing(self._store.scan(documents=sample is None)) as pages:
            async for page in pages:
                own.add(page)
                if sample is None:
                    doubtful += await self._content.suspects(page)
                elif sample:
                    doubtful += [one.order_id for place, one in enumerate(page, start=number) if place % stride == 0]
                    number = (number + len(page)) % stride
                scanned += len(page)
                await self._pace.rest()
        differing = [
            bucket
            for bucket, (ours, theirs) in enumerate(zip(own.buckets(), digests.buckets, strict=True))
            if ours != theirs
        ]
        return differing, doubtful, scanned if sample is None else len(doubtful)

    async def _drill_down(self, buckets: Sequence[int]) -> list[Finding]:
        if not buckets:
            return []
        found: list[Finding] = []
        after = ""
        await self._store.refresh()
        async for page in self._source.heads(OrderSelection(partitions=buckets)):
            heads = {head.order_id: head for head in page.heads}
            if not heads:
                continue
            until = max(heads)
            found += await self._differing(heads, page.source_epoch, after, until, buckets)
            after = until
            if len(found) >= MOST_FINDINGS:
                return found
        return found + await self._differing({}, 0, after, "", buckets)

    async def _differing(
        self, heads: Mapping[str, OrderHead], source_epoch: int, after: str, until: str, buckets: Sequence[int]
    ) -> list[Finding]:
        """Compares heads, which are all of the ids `after` (exclusive) to `until`, with a pass over the read model.

        Ends early when it has MOST_FINDINGS: the write side may be the wrong one, and lack all orders.
        """
        found: list[Finding] = []
        waiting: list[str] = []
        async with aclosing(self._store.scan(after=after, until=until)) as pages:
            async for page in pages:
                scanned = {one.order_id: one for one in page if self._of_bucket(one.order_id, buckets)}
                last = page[-1].order_id
                waiting += suspects(
                    {order_id: head for order_id, head in heads.items() if after < order_id <= last},
                    scanned,
                    source_epoch,
                )
                after = last
                if len(waiting) >= MOST_FINDINGS:
                    found += await self._suspects.findings(waiting)
                    waiting = []
                if len(found) >= MOST_FINDINGS:
                    return found
                await self._pace.rest()
        waiting += sorted(order_id for order_id in heads if order_id > after)
        return found + await self._suspects.findings(waiting)

    def _of_bucket(self, order_id: str, buckets: Sequence[int]) -> bool:
        try:
            return self._bucket_of(order_id) in buckets
        except ValueError:
            return True  # no order of the write side has such an id
