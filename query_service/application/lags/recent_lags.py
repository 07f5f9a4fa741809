"""Computes the lags of the last minute over all projectors, from the notices that a serving process receives."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from query_service.application.lags.stage_lags import BOUNDS, STAGES, quantile

WINDOW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class StageLag:
    """How long events took from the previous stage to this one: median and 99th percentile, in seconds.

    `as_of` is the time of the last report, in microseconds since 1970.
    """

    stage: str
    p50: float
    p99: float
    as_of: int


class RecentLags:
    """Keeps the counts of the last minute by stage.

    The last report is kept even when it is older, so that a shop without traffic still has figures.

    `now` returns microseconds since 1970; `window` is in seconds.
    """

    def __init__(self, now: Callable[[], int], *, window: float = WINDOW_SECONDS) -> None:
        self._now, self._window = now, round(window * 1e6)
        self._reports: dict[str, deque[tuple[int, Mapping[int, int]]]] = {stage: deque() for stage in STAGES}

    def add(self, stage: str, counts: Mapping[int, int]) -> None:
        """Adds a projector's counts: bucket → number of events. Unknown stages and buckets are ignored."""
        known = {bucket: count for bucket, count in counts.items() if 0 <= bucket <= len(BOUNDS) and count > 0}
        reports = self._reports.get(stage)
        if reports is None or not known:
            return
        reports.append((self._now(), known))
        self._forget(reports)

    def lags(self) -> list[StageLag]:
        """Returns the lags of the stages that have reports, from `published` to `searchable`."""
        found: list[StageLag] = []
        for stage, reports in self._reports.items():
            self._forget(reports)
            if not reports:
                continue
            sums = [0] * (len(BOUNDS) + 1)
            for _, counts in reports:
                for bucket, count in counts.items():
                    sums[bucket] += count
            found.append(StageLag(stage, quantile(sums, 0.5), quantile(sums, 0.99), reports[-1][0]))
        return found

    def _forget(self, reports: deque[tuple[int, Mapping[int, int]]]) -> None:
        oldest = self._now() - self._window
        while len(reports) > 1 and reports[0][0] < oldest:
            reports.popleft()
