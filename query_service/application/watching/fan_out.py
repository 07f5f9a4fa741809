"""Gives every change to the watchers that want it. A change is encoded once, whatever the number of watchers.

The last changes are kept. So a watcher that resumes from a moment ago joins without reading the stream, and one that
comes from further back joins as soon as it has read up to the first change that is kept.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass

import structlog

from query_service.application.watching.change import Change
from query_service.application.watching.front import Front, Step
from query_service.application.watching.resume_token import ResumePoint
from query_service.application.watching.watcher import Buffered, Parcel, Watcher, WatchOver

_log = structlog.get_logger(__name__)
#: How many changes are kept for watchers that join, and the most bytes of their messages. They take about six times as
#: much memory.
KEPT, KEPT_BYTES = 500, 8 * 1024 * 1024
#: How many redacted orders are remembered: more than are redacted while a look-up of the catch-up is fresh.
REDACTED = 10_000
#: The most bytes in all buffers together. A parcel that many watchers hold counts once.
BUDGET_BYTES = 64 * 1024 * 1024
#: Encodes a response: its change, if any, the token, and `as_of` (microseconds since 1970), if known. Raises ValueError
#: for a change that this release cannot read.
Encode = Callable[[Change | None, str, int | None], bytes]


@dataclass(slots=True)
class _Kept:
    """A step with its change, and the parcel once it is encoded."""

    step: Step
    change: Change
    parcel: Parcel | None = None


class FanOut:
    """The watchers of this process. `stream_created_at` identifies the stream of `front`."""

    def __init__(
        self,
        front: Front,
        stream_created_at: int,
        encode: Encode,
        *,
        kept: int = KEPT,
        kept_bytes: int = KEPT_BYTES,
        budget: int = BUDGET_BYTES,
    ) -> None:
        self.front, self.stream_created_at = front, stream_created_at
        self._encode, self._budget = encode, budget
        self._most_kept, self._most_kept_bytes = kept, kept_bytes
        self._kept: deque[_Kept] = deque()
        self._kept_bytes = 0
        self._kept_after = self._position = front.position
        self._as_of: int | None = None
        self._watchers: set[Watcher] = set()
        self._redacted: OrderedDict[str, None] = OrderedDict()
        self.buffered = Buffered()
        self._ended: Exception | None = None

    @property
    def position(self) -> int:
        """Every change up to this sequence was given to the watchers, except those that are set aside."""
        return self._position

    @property
    def is_crowded(self) -> bool:
        """Whether some watcher's buffer is more than half full."""
        return any(watcher.is_crowded for watcher in self._watchers)

    def present(self) -> ResumePoint:
        """Returns the point of a watcher that has got everything so far."""
        return ResumePoint(self.stream_created_at, self._position, self.front.owed)

    def publish(self, steps: Iterable[Step]) -> None:
        """Gives changes to the watchers, in order. Call it right after each advance of the front."""
        for step in steps:
            self._position, self._as_of = step.position, step.as_of
            if step.change is not None and self._is_legible(step.change):
                self._keep(kept := _Kept(step, step.change))
                for watcher in self._watchers:
                    self._give(watcher, kept)
        while self.buffered.bytes > self._budget:
            max(self._watchers, key=lambda watcher: watcher.buffered_bytes).too_slow()

    def erase(self, redacted: Set[str]) -> None:
        """Takes personal data out of the kept changes of redacted orders.

        A watcher that still has to send such a change as it was is ended without an error. It then resumes, and gets
        the change without personal data.
        """
        if not redacted:
            return
        self._redacted.update(dict.fromkeys(redacted))
        while len(self._redacted) > REDACTED:
            self._redacted.popitem(last=False)
        for kept in self._kept:
            if kept.change.order_id in redacted and not kept.change.erased:
                kept.change.erase()
                kept.parcel = None
        for watcher in self._watchers:
            if watcher.holds_unerased(redacted):
                watcher.end(WatchOver())

    def saw_redacted(self, order_id: str) -> bool:
        """Returns whether the front found lately that an order is redacted."""
        return order_id in self._redacted

    def covers(self, position: int) -> bool:
        """Returns whether every change after `position` will still be given, or is kept."""
        return position >= self._kept_after

    def has(self, sequence: int) -> bool:
        """Returns whether a change will still be given, because it is set aside or comes later, or is kept."""
        return (
            sequence > self._position
            or sequence in self.front.aside
            or any(kept.change.sequence == sequence for kept in self._kept)
        )

    def attach(self, watcher: Watcher) -> bool:
        """Adds a watcher at its point, and gives it what it has not got. Returns False if that is not all here.

        Raises why the fan-out has ended.
        """
        if self._ended is not None:
            raise self._ended
        if not self.covers(watcher.point.position) or not all(map(self.has, watcher.point.owed)):
            return False
        for kept in self._kept:
            self._give(watcher, kept)
        self._watchers.add(watcher)
        return True

    def detach(self, watcher: Watcher) -> None:
        """Removes a watcher that has left."""
        self._watchers.discard(watcher)
        watcher.end(RuntimeError("the watcher has left"))

    def end(self, reason: Exception) -> None:
        """Ends all watchers, and refuses others."""
        self._ended = reason
        for watcher in self._watchers:
            watcher.end(reason)

    def sign_of_life(self, watcher: Watcher) -> bytes:
        """Returns the response for a watcher that has sent all it was given."""
        if self._position < watcher.point.position:  # it comes from a process that was further ahead
            return self._encode(None, self._own_point(watcher, self._position, self.front.owed).token(), None)
        return self._encode(None, self.present().token(), self._as_of)

    def _keep(self, kept: _Kept) -> None:
        self._kept.append(kept)
        self._kept_bytes += kept.change.size
        while len(self._kept) > self._most_kept or self._kept_bytes > self._most_kept_bytes:
            dropped = self._kept.popleft()
            self._kept_bytes -= dropped.change.size
            self._kept_after = dropped.step.position

    def _give(self, watcher: Watcher, kept: _Kept) -> None:
        step, change = kept.step, kept.change
        if not watcher.wants(change.sequence) or not watcher.is_wanted(change.projected()):
            return
        if step.position < watcher.point.position:
            watcher.put(self._parcel(change, self._own_point(watcher, step.position, step.owed), None))
            return
        if kept.parcel is None:
            kept.parcel = self._parcel(
                change, ResumePoint(self.stream_created_at, step.position, step.owed), step.as_of
            )
        watcher.put(kept.parcel)

    def _own_point(self, watcher: Watcher, position: int, owed: Iterable[int]) -> ResumePoint:
        """Returns the point of a watcher that is further ahead than `position`, up to which all but `owed` is given."""
        still_owed = tuple(sequence for sequence in watcher.point.owed if sequence > position or sequence in owed)
        return ResumePoint(self.stream_created_at, watcher.point.position, still_owed)

    def _parcel(self, change: Change, point: ResumePoint, as_of: int | None) -> Parcel:
        return Parcel(change.order_id, point, self._encode(change, point.token(), as_of), change.erased)

    def _is_legible(self, change: Change) -> bool:
        """Returns whether this release can send the change. If not, it was parked, and a later version passed it."""
        try:
            self._encode(change, "", None)
        except ValueError as error:
            _log.warning("change not sent to watchers", sequence=change.sequence, reason=type(error).__name__)
            return False
        return True
