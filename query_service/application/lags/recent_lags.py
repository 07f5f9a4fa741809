"""Adds up the lags of the last minute over all projectors, as a serving process is notified of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from query_service.application.lags.stage_lags import BOUNDS, STAGES, quantile

WINDOW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class StageLag:
    """The longest time in seconds, from the stage before, of half of the events and of 99 in 100.

    `as_of` (microseconds since 1970): when the last of them were counted.
    """

    stage: str
    p50: float
    p99: float
    as_of: int


class RecentLags:
    """Counts by stage of the last minute; in an idle shop the last counts, however old. `now` in microseconds."""

    def __init__(self, now: Callable[[], int], *, window: float = WINDOW_SECONDS) -> None:
        self._now, self._window = now, round(window * 1e6)
        self._heard: dict[str, deque[tuple[int, Mapping[int, int]]]] = {stage: deque() for stage in STAGES}

    def add(self, stage: str, counts: Mapping[int, int]) -> None:
        """Adds a projector's counts per bucket; ignores unknown stages and buckets."""
        known = {bucket: count for bucket, count in counts.items() if 0 <= bucket <= len(BOUNDS) and count > 0}
        heard = self._heard.get(stage)
        if heard is None or not known:
            return
        heard.append((self._now(), known))
        self._forget(heard)

    def lags(self) -> list[StageLag]:
        """Returns the stages with counts, in the order of the way."""
        found: list[StageLag] = []
        for stage, heard in self._heard.items():
            self._forget(heard)
            if not heard:
                continue
            sums = [0] * (len(BOUNDS) + 1)
            for _, counts in heard:
                for bucket, count in counts.items():
                    sums[bucket] += count
            found.append(StageLag(stage, quantile(sums, 0.5), quantile(sums, 0.99), heard[-1][0]))
        return found

    def _forget(self, heard: deque[tuple[int, Mapping[int, int]]]) -> None:
        oldest = self._now() - self._window
        while len(heard) > 1 and heard[0][0] < oldest:
            heard.popleft()
