"""Watches orders: brings a watcher to the present place, and then passes on what the fan-out gives it.

A watcher that resumes first gets what it missed. It joins the fan-out at the very change up to which it has read.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

from query_service.application.ports.errors import ResumeTokenExpired, TooManyWatchers
from query_service.application.ports.order_questions import OrderCriteria
from query_service.application.watching.catch_up import CatchUp, Shared
from query_service.application.watching.fan_out import FanOut
from query_service.application.watching.live_changes import LiveChanges, Sources
from query_service.application.watching.resume_token import ResumePoint, read_resume_token
from query_service.application.watching.wanted import wanted
from query_service.application.watching.watcher import Watcher, WatchOver


@dataclass(frozen=True, slots=True)
class WatchLimits:
    """`watchers` at once; a sign of life after `silence` seconds; a watch lasts up to `seconds`.

    `buffer`: the most changes that wait for a watcher.
    """

    watchers: int
    silence: float
    seconds: float
    buffer: int


class WatchOrders:
    """Streams changes to watchers."""

    def __init__(self, live: LiveChanges, sources: Sources, limits: WatchLimits) -> None:
        self._live, self._sources, self._limits = live, sources, limits
        self._shared = Shared()
        self.watchers = 0

    async def __call__(
        self, criteria: OrderCriteria, resume_token: str, *, latest: bool
    ) -> AsyncGenerator[bytes, None]:
        """Yields encoded responses; the first is a sign of life. Ends after some minutes; the watcher then resumes.

        Raises ResumeTokenMalformed, ResumeTokenExpired, WatcherTooSlow, TooManyWatchers, DependencyDown and
        ReadStoreNotReady.
        """
        point = read_resume_token(resume_token) if resume_token else None
        if self.watchers >= self._limits.watchers:
            raise TooManyWatchers(self._limits.watchers)
        self.watchers += 1
        try:
            async with self._live.joined() as fan_out:
                watcher = Watcher(
                    wanted(criteria),
                    fan_out.present() if point is None else await self._possible(point, fan_out),
                    fan_out.buffered,
                    latest=latest,
                    most=self._limits.buffer,
                )
                yield self._sources.encode(None, watcher.point.token(), None)
                async with contextlib.aclosing(self._responses(fan_out, watcher)) as responses:
                    async for response in responses:
                        yield response
        finally:
            self.watchers -= 1

    async def _possible(self, point: ResumePoint, fan_out: FanOut) -> ResumePoint:
        """Returns the point without owed changes that have left the stream: no watch can send them any more.

        Raises ResumeTokenExpired unless the stream has everything after the point.
        """
        bounds = await self._sources.stream.bounds()
        if point.stream_created_at != fan_out.stream_created_at or point.position > bounds.last:
            raise ResumeTokenExpired(
                "the resume token is of another stream: the stream was replaced since; read a list, and watch from its"
                " resume token"
            )
        if point.position + 1 < bounds.first:
            raise ResumeTokenExpired(
                "the stream no longer has the changes after the resume token; read a list, and watch from its resume"
                " token"
            )
        return replace(point, owed=tuple(sequence for sequence in point.owed if sequence >= bounds.first))

    async def _responses(self, fan_out: FanOut, watcher: Watcher) -> AsyncGenerator[bytes, None]:
        # Watches that began together, for example after a restart, do not all end together.
        ends = self._sources.clock() + self._limits.seconds * random.uniform(0.8, 1.0)  # noqa: S311
        try:
            catch_up = CatchUp(fan_out, watcher, self._sources, self._shared, self._limits.silence)
            async with contextlib.aclosing(catch_up.responses()) as missed:
                async for response in missed:
                    yield response
                    if self._sources.clock() >= ends:
                        return
            while (left := ends - self._sources.clock()) > 0:
                parcel = await watcher.next(min(left, self._limits.silence))
                yield fan_out.sign_of_life(watcher) if parcel is None else parcel.content
        except WatchOver:
            return
        finally:
            fan_out.detach(watcher)
