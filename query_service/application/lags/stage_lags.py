"""Measures how long events take from stage to stage: committed → published → received → applied → searchable.

Each stage is measured from the one before, by the clocks of the database, the stream and the projector. The figures
include the difference between these clocks. Durations are counted in buckets, so that the counts of several projectors
can be added.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

STAGES = ("published", "received", "applied", "searchable")
_STEPS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
#: The upper bounds of the buckets in seconds, 0.5 ms to about an hour. One more bucket counts longer durations.
BOUNDS = tuple(step * 10.0**power for power in range(-4, 4) for step in _STEPS if 5e-4 <= step * 10.0**power < 5e3)
#: How many unsearchable events are tracked. With more of them, which means that the index is not refreshed, the oldest
#: are dropped.
FOLLOWED = 100_000
_MICROSECONDS = 1e6


@dataclass(frozen=True, slots=True)
class Exemplar:
    """A traced event that took `seconds`; `at` in seconds since 1970."""

    trace_id: str
    seconds: float
    at: float


@dataclass(slots=True)
class StageHistogram:
    """Counts the durations of one stage since the start, and keeps the last traced event of each bucket."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0
    exemplars: dict[int, Exemplar] = field(default_factory=dict)

    def observe(self, seconds: float, trace_id: str, at: float) -> None:
        """Counts one event."""
        seconds = max(0.0, seconds)
        bucket = bisect_left(BOUNDS, seconds)
        self.counts[bucket] += 1
        self.total += seconds
        if trace_id:
            self.exemplars[bucket] = Exemplar(trace_id, seconds, at)


class StageLags:
    """Measures the lags of one projector's events. All times, and what `now` returns, are microseconds since 1970."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self.histograms: Mapping[str, StageHistogram] = {stage: StageHistogram() for stage in STAGES}
        self._reported = {stage: [0] * (len(BOUNDS) + 1) for stage in STAGES}
        self._unsearchable: deque[tuple[int, str]] = deque(maxlen=FOLLOWED)

    def applied(self, recorded_at: int, stored_at: int, received_at: int, trace_id: str) -> None:
        """Counts an event that is applied now. The arguments say when it passed the earlier stages."""
        now = self._now()
        at, histograms = now / _MICROSECONDS, self.histograms
        histograms["published"].observe((stored_at - recorded_at) / _MICROSECONDS, trace_id, at)
        histograms["received"].observe((received_at - stored_at) / _MICROSECONDS, trace_id, at)
        histograms["applied"].observe((now - received_at) / _MICROSECONDS, trace_id, at)
        self._unsearchable.append((now, trace_id))

    def refreshed(self, begun_at: int) -> None:
        """Records that a refresh is done. Events that were applied before `begun_at` are searchable now."""
        now = self._now()
        searchable = self.histograms["searchable"]
        while self._unsearchable and self._unsearchable[0][0] < begun_at:
            applied_at, trace_id = self._unsearchable.popleft()
            searchable.observe((now - applied_at) / _MICROSECONDS, trace_id, now / _MICROSECONDS)

    def forget_unsearchable(self) -> None:
        """Forgets the events that are not searchable yet, so nobody learns how long they were not."""
        self._unsearchable.clear()

    def unsearchable_for(self) -> float:
        """Returns how long the oldest unsearchable event has been applied, in seconds; 0 when there is none."""
        return (self._now() - self._unsearchable[0][0]) / _MICROSECONDS if self._unsearchable else 0.0

    def unreported(self) -> dict[str, dict[int, int]]:
        """Returns the events counted since the last call: stage → bucket → number above 0."""
        found: dict[str, dict[int, int]] = {}
        for stage, histogram in self.histograms.items():
            reported = self._reported[stage]
            both = enumerate(zip(histogram.counts, reported, strict=True))
            new = {bucket: now - then for bucket, (now, then) in both if now > then}
            if new:
                found[stage] = new
                self._reported[stage] = list(histogram.counts)
        return found


def quantile(counts: Sequence[int], share: float) -> float:
    """Returns the duration in seconds that the part `share` of the events did not exceed.

    It is interpolated within a bucket. 0 without events.
    """
    rank, below = share * sum(counts), 0
    for bucket, count in enumerate(counts):
        if count and below + count >= rank:
            if bucket == len(BOUNDS):
                break
            least = BOUNDS[bucket - 1] if bucket else 0.0
            return least + (BOUNDS[bucket] - least) * (rank - below) / count
        below += count
    return BOUNDS[-1] if any(counts) else 0.0
