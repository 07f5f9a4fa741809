"""Brings a watcher that resumes to the present place: sends what it has missed, straight from the stream.

Everything before the front is readable or set aside. Only the look-up whether orders are redacted is left, because the
stream has their changes with personal data.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace

from query_service.application.watching.change import Change, Passed, erase_redacted, is_readable, read_message
from query_service.application.watching.fan_out import FanOut
from query_service.application.watching.live_changes import Sources
from query_service.application.watching.recent_changes import RecentChanges, Turn, Turns
from query_service.application.watching.resume_token import ResumePoint
from query_service.application.watching.watcher import Watcher

#: The most changes that one look-up is about, and for how many seconds its result is used, by all watchers. Later
#: redactions are found by the front. With a shorter time, many watchers would wait for each other's look-ups only.
AT_ONCE, FRESH_SECONDS = 100, 5.0


@dataclass(frozen=True, slots=True)
class _Missed:
    """A change, the watcher's point after it, and the latest `as_of` before it, if known."""

    change: Change
    point: ResumePoint
    as_of: int | None


@dataclass(frozen=True, slots=True)
class Shared:
    """What all watchers that catch up share."""

    recent: RecentChanges = field(default_factory=RecentChanges)
    turns: Turns = field(default_factory=Turns)


class CatchUp:
    """Brings one watcher to the fan-out. A sign of life is sent after `silence` seconds without a change."""

    def __init__(self, fan_out: FanOut, watcher: Watcher, sources: Sources, shared: Shared, silence: float) -> None:
        self._fan_out, self._watcher, self._sources, self._silence = fan_out, watcher, sources, silence
        self._shared = shared

    async def responses(self) -> AsyncGenerator[bytes, None]:
        """Yields what the watcher has missed, until it is attached to the fan-out.

        Raises ResumeTokenExpired, DependencyDown and ReadStoreNotReady.
        """
        while True:
            async for response in self._owed():
                yield response
            if self._fan_out.attach(self._watcher):
                return
            async with contextlib.aclosing(self._missed(self._remembered())) as responses:
                async for response in responses:
                    yield response
            if self._fan_out.covers(self._watcher.point.position):
                continue
            while (turn := await self._shared.turns.begin(self._silence)) is None:
                yield self._sources.encode(None, self._watcher.point.token(), None)
            try:
                async with contextlib.aclosing(self._missed(self._read(turn))) as responses:
                    async for response in responses:
                        yield response
            finally:
                turn.end()

    async def _owed(self) -> AsyncGenerator[bytes, None]:
        """Yields the owed changes that are readable now. The front sets the others aside for the watcher."""
        watcher, point = self._watcher, self._watcher.point
        for sequence in point.owed:
            if self._fan_out.has(sequence):
                continue
            message = await self._sources.stream.message(sequence)
            change = None if message is None else read_message(message)
            if isinstance(change, Change):
                [shown] = await self._sources.reader.shown([change.order_id])
                if not is_readable(change, shown):
                    self._fan_out.front.set_aside(change)
                    continue
                erase_redacted([change], {change.order_id: shown})
            owed = tuple(other for other in watcher.point.owed if other != sequence)
            watcher.point = replace(point, owed=owed)
            if isinstance(change, Change):
                response = self._response(_Missed(change, watcher.point, None))
                if response is not None:
                    yield response

    async def _remembered(self) -> AsyncGenerator[Change | Passed, None]:
        """Yields the next messages as long as they were read for another watcher just now."""
        point, recent = self._watcher.point, self._shared.recent
        sequence = point.position + 1
        while (item := recent.get(point.stream_created_at, sequence)) is not None:
            yield item
            sequence += 1
            if sequence % AT_ONCE == 0:
                await asyncio.sleep(0)  # so that other calls get a moment

    async def _read(self, turn: Turn) -> AsyncGenerator[Change | Passed, None]:
        """Yields the next messages from the stream, until the turn is over or another watcher has read the next one."""
        point, recent = self._watcher.point, self._shared.recent
        if recent.get(point.stream_created_at, point.position + 1) is not None:
            return
        messages = self._sources.stream.after(point.position, point.stream_created_at)
        async with contextlib.aclosing(messages):
            async for message in messages:
                yield recent.read(point.stream_created_at, message)
                if turn.over:
                    return

    async def _missed(self, items: AsyncGenerator[Change | Passed, None]) -> AsyncGenerator[bytes, None]:
        """Yields the changes among the next messages, up to the first change that the fan-out keeps."""
        watcher, fan_out, clock = self._watcher, self._fan_out, self._sources.clock
        start = watcher.point
        as_of: int | None = None
        missed: list[_Missed] = []
        last_sign = clock()
        async with contextlib.aclosing(items):
            async for item in items:
                if item.sequence > fan_out.position:  # there are no messages between the two places
                    watcher.point = replace(watcher.point, position=fan_out.position)
                    break
                aside = item.sequence in fan_out.front.aside
                owed = (*watcher.point.owed, item.sequence) if aside else watcher.point.owed
                watcher.point = ResumePoint(start.stream_created_at, item.sequence, owed)
                if isinstance(item, Passed):
                    as_of = as_of if item.time is None else item.time
                elif not aside:
                    missed.append(_Missed(item, watcher.point, as_of))
                if fan_out.covers(watcher.point.position):
                    break
                if len(missed) == AT_ONCE or clock() - last_sign >= self._silence:
                    async for response in self._sent(missed):
                        yield response
                        last_sign = clock()
                    missed = []
                    if clock() - last_sign >= self._silence:
                        yield self._sources.encode(None, watcher.point.token(), as_of)
                        last_sign = clock()
        async for response in self._sent(missed):
            yield response

    async def _sent(self, missed: Sequence[_Missed]) -> AsyncGenerator[bytes, None]:
        """Yields the responses with changes. A slow watcher takes its time, so the look-up is repeated."""
        for number, one in enumerate(missed):
            if self._is_unchecked(one.change):
                changes = [other.change for other in missed[number:] if self._is_unchecked(other.change)]
                orders = list(dict.fromkeys(change.order_id for change in changes))
                before = self._sources.clock()
                shown = await self._sources.reader.shown(orders)
                erase_redacted(changes, dict(zip(orders, shown, strict=True)))
                for change in changes:
                    change.checked_at = before
            if self._fan_out.saw_redacted(one.change.order_id):
                one.change.erase()
            response = self._response(one)
            if response is not None:
                yield response

    def _is_unchecked(self, change: Change) -> bool:
        """Returns whether it was not looked up just now, for any watcher, if the order of a change is redacted."""
        return self._sources.clock() - change.checked_at > FRESH_SECONDS

    def _response(self, missed: _Missed) -> bytes | None:
        """Returns the response with a change; None if it is not for this watcher, or this release cannot read it."""
        try:
            if not self._watcher.is_wanted(missed.change.projected()):
                return None
            return self._sources.encode(missed.change, missed.point.token(), missed.as_of)
        except ValueError:
            return None
