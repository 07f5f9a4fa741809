"""Brings a watcher that resumes to the present place: sends what it has missed, straight from the stream.

Everything before the front is readable or set aside. Only the look-up whether orders are redacted is left, because the
stream has their changes with personal data.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace

from query_service.application.watching.change import Change, Passed, erase_redacted, is_readable, read_message
from query_service.application.watching.fan_out import FanOut
from query_service.application.watching.live_changes import Sources
from query_service.application.watching.resume_token import ResumePoint
from query_service.application.watching.watcher import Watcher

#: The most changes that one look-up is about, and for how many seconds its result is used.
AT_ONCE, FRESH_SECONDS = 100, 0.25


@dataclass(frozen=True, slots=True)
class _Missed:
    """A change, the watcher's point after it, and the latest `as_of` before it, if known."""

    change: Change
    point: ResumePoint
    as_of: int | None


class CatchUp:
    """Brings one watcher to the fan-out. A sign of life is sent after `silence` seconds without a change."""

    def __init__(self, fan_out: FanOut, watcher: Watcher, sources: Sources, silence: float) -> None:
        self._fan_out, self._watcher, self._sources, self._silence = fan_out, watcher, sources, silence

    async def responses(self) -> AsyncGenerator[bytes, None]:
        """Yields what the watcher has missed, until it is attached to the fan-out.

        Raises ResumeTokenExpired, DependencyDown and ReadStoreNotReady.
        """
        while True:
            async for response in self._owed():
                yield response
            if self._fan_out.attach(self._watcher):
                return
            async with contextlib.aclosing(self._from_stream()) as responses:
                async for response in responses:
                    yield response

    async def _owed(self) -> AsyncGenerator[bytes, None]:
        """Yields the owed changes that are readable now. The front sets the others aside for the watcher."""
        watcher, point = self._watcher, self._watcher.point
        for sequence in point.owed:
            if self._fan_out.has(sequence):
                continue
            message = await self._sources.stream.message(sequence)
            change = None if message is None else read_message(message, self._sources.parse)
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

    async def _from_stream(self) -> AsyncGenerator[bytes, None]:
        """Yields the changes between the watcher's point and the first change that the fan-out keeps."""
        watcher, fan_out, clock = self._watcher, self._fan_out, self._sources.clock
        start = watcher.point
        as_of: int | None = None
        missed: list[_Missed] = []
        last_sign = clock()
        async with contextlib.aclosing(self._sources.stream.after(start.position, start.stream_created_at)) as messages:
            async for message in messages:
                if message.sequence > fan_out.position:  # there are no messages between the two places
                    watcher.point = replace(watcher.point, position=fan_out.position)
                    break
                passed = read_message(message, self._sources.parse)
                aside = passed.sequence in fan_out.front.aside
                owed = (*watcher.point.owed, passed.sequence) if aside else watcher.point.owed
                watcher.point = ResumePoint(start.stream_created_at, passed.sequence, owed)
                if isinstance(passed, Passed):
                    as_of = as_of if passed.time is None else passed.time
                elif not aside:
                    missed.append(_Missed(passed, watcher.point, as_of))
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
        clock, looked_up = self._sources.clock, float("-inf")
        for number, one in enumerate(missed):
            if clock() - looked_up > FRESH_SECONDS:
                changes = [other.change for other in missed[number:]]
                orders = list(dict.fromkeys(change.order_id for change in changes))
                shown = await self._sources.reader.shown(orders)
                erase_redacted(changes, dict(zip(orders, shown, strict=True)))
                looked_up = clock()
            response = self._response(one)
            if response is not None:
                yield response

    def _response(self, missed: _Missed) -> bytes | None:
        """Returns the response with a change; None if it is not for this watcher, or this release cannot read it."""
        try:
            if not self._watcher.is_wanted(missed.change.projected()):
                return None
            return self._sources.encode(missed.change, missed.point.token(), missed.as_of)
        except ValueError:
            return None
