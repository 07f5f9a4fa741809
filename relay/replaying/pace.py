"""Limits how many events a replay publishes in a second, and estimates how long it will take. Times are arguments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

E = TypeVar("E")

#: A limited replay reads a tenth of a second's events at once, and sends a hundredth: a relay's messages wait for those
#: that the server has before them.
_READS, _SENDS = 10, 100
#: A timer fires late by a millisecond or so. That is made up for, a longer delay is not.
_LATE_SECONDS = 0.02


class Pace:
    """Spreads events evenly over time: at most `rate` in a second; None for no limit. Times are in seconds."""

    def __init__(self, rate: int | None) -> None:
        self._rate = rate
        self._free_at = 0.0

    def most(self, events: int) -> int:
        """Returns how many of `events` to read at once."""
        return events if self._rate is None else max(1, min(events, self._rate // _READS))

    def parts(self, events: Sequence[E]) -> Iterator[Sequence[E]]:
        """Yields the parts of `events` that may be sent at once; one part when there are none."""
        size = max(1, len(events) if self._rate is None else self._rate // _SENDS)
        for first in range(0, len(events) or 1, size):
            yield events[first : first + size]

    def sent(self, events: int, now: float) -> None:
        """Records that so many events were sent."""
        if self._rate is not None:
            self._free_at = max(self._free_at, now - _LATE_SECONDS) + events / self._rate

    def seconds(self, now: float) -> float:
        """Returns how long to wait before the next events are sent."""
        return max(0.0, self._free_at - now)


class Progress:
    """What a run of a replay has done since it began at `began`."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._first, self._last = 1, 0
        #: The last position that was looked at.
        self.position = 0
        self.events = 0
        #: Notices that stand in the places of events that are parked, or that the stream refuses.
        self.notices = 0

    def begins(self, first: int, last: int) -> None:
        """Records the range of positions that this run has to look at. Later sessions change only its end."""
        if self._last == 0:
            self._first, self.position = first, first - 1
        self._last = max(self._last, last)

    def line(self, now: float) -> str:
        """Returns one line for people: how many events, how fast, and how much time is left."""
        seconds = max(now - self._began, 1e-9)
        done, whole = self.position - self._first + 1, max(1, self._last - self._first + 1)
        left = f"{(whole - done) / done * seconds:,.0f} s left" if done > 0 else "time left unknown"
        return (
            f"{self.events:,} events, {self.events / seconds:,.0f} in a second; position {self.position:,} of"
            f" {self._last:,}, {left}"
        )
