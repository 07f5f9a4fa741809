"""Watches orders: brings a watcher to the present place, and then passes on what the fan-out gives it.

A watcher that resumes first gets, straight from the stream, what it missed. Everything before the front is readable or
set aside, so this needs no look-ups. It joins the fan-out at the very change up to which it has read.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

from query_service.application.ports.errors import ResumeTokenExpired, TooManyWatchers
from query_service.application.ports.order_matching import matcher
from query_service.application.ports.order_questions import OrderCriteria
from query_service.application.watching.change import Change, Passed, read_message
from query_service.application.watching.fan_out import FanOut
from query_service.application.watching.front import is_readable
from query_service.application.watching.live_changes import LiveChanges, Sources
from query_service.application.watching.resume_token import ResumePoint, read_resume_token
from query_service.application.watching.watcher import Watcher


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
                await self._check(point, fan_out)
                watcher = Watcher(
                    matcher(criteria),
                    point or fan_out.present(),
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

    async def _check(self, point: ResumePoint | None, fan_out: FanOut) -> None:
        """Raises ResumeTokenExpired unless the stream has every change that the watcher has not got."""
        if point is None:
            return
        bounds = await self._sources.stream.bounds()
        if point.stream_created_at != fan_out.stream_created_at or point.position > bounds.last:
            raise ResumeTokenExpired(
                "the resume token is of another stream: the stream was replaced since; read a list, and watch from its"
                " resume token"
            )
        if min((point.position + 1, *point.owed)) < bounds.first:
            raise ResumeTokenExpired(
                "the stream no longer has the changes after the resume token; read a list, and watch from its resume"
                " token"
            )

    async def _responses(self, fan_out: FanOut, watcher: Watcher) -> AsyncGenerator[bytes, None]:
        # Watches that began together, for example after a restart, do not all end together.
        ends = self._sources.clock() + self._limits.seconds * random.uniform(0.8, 1.0)  # noqa: S311
        try:
            async with contextlib.aclosing(self._missed(fan_out, watcher)) as missed:
                async for response in missed:
                    yield response
            while (left := ends - self._sources.clock()) > 0:
                parcel = await watcher.next(min(left, self._limits.silence))
                yield fan_out.sign_of_life(watcher) if parcel is None else parcel.content
        finally:
            fan_out.detach(watcher)

    async def _missed(self, fan_out: FanOut, watcher: Watcher) -> AsyncGenerator[bytes, None]:
        """Yields what the watcher has missed, until it is attached to the fan-out."""
        while True:
            async for response in self._owed(fan_out, watcher):
                yield response
            if fan_out.attach(watcher):
                return
            async with contextlib.aclosing(self._from_stream(fan_out, watcher)) as responses:
                async for response in responses:
                    yield response

    async def _owed(self, fan_out: FanOut, watcher: Watcher) -> AsyncGenerator[bytes, None]:
        """Yields the owed changes that are readable now. The front sets the others aside for the watcher."""
        point = watcher.point
        for sequence in point.owed:
            if fan_out.has(sequence):
                continue
            message = await self._sources.stream.message(sequence)
            if message is None:
                raise ResumeTokenExpired("the stream no longer has a change that the resume token owes; read a list")
            change = read_message(message, self._sources.parse)
            if isinstance(change, Change):
                [shown] = await self._sources.reader.editions([change.order_id])
                if not is_readable(change, shown):
                    fan_out.front.set_aside(change)
                    continue
            owed = tuple(other for other in watcher.point.owed if other != sequence)
            watcher.point = replace(point, owed=owed)
            if (response := self._response(watcher, change, None)) is not None:
                yield response

    async def _from_stream(self, fan_out: FanOut, watcher: Watcher) -> AsyncGenerator[bytes, None]:
        """Yields the changes between the watcher's point and the first change that the fan-out keeps."""
        point, clock, silence = watcher.point, self._sources.clock, self._limits.silence
        as_of: int | None = None
        last_sign = clock()
        async with contextlib.aclosing(self._sources.stream.after(point.position, point.stream_created_at)) as messages:
            async for message in messages:
                if fan_out.covers(watcher.point.position):
                    return
                if message.sequence > fan_out.position:  # there are no messages between the two places
                    watcher.point = replace(watcher.point, position=fan_out.position)
                    return
                passed = read_message(message, self._sources.parse)
                aside = passed.sequence in fan_out.front.aside
                owed = (*watcher.point.owed, passed.sequence) if aside else watcher.point.owed
                watcher.point = ResumePoint(point.stream_created_at, passed.sequence, owed)
                if isinstance(passed, Passed) and passed.time is not None:
                    as_of = passed.time
                response = None if aside else self._response(watcher, passed, as_of)
                if response is None and clock() - last_sign >= silence:
                    response = self._sources.encode(None, watcher.point.token(), as_of)
                if response is not None:
                    yield response
                    last_sign = clock()

    def _response(self, watcher: Watcher, change: Change | Passed, as_of: int | None) -> bytes | None:
        """Returns the response with a change; None if it is not for this watcher, or this release cannot read it."""
        if isinstance(change, Passed):
            return None
        try:
            if not watcher.matches(change.projected().order):
                return None
            return self._sources.encode(change, watcher.point.token(), as_of)
        except ValueError:
            return None
