"""Counts what a projector does."""

from __future__ import annotations

from collections.abc import Callable

from query_service.metrics import ProjectMetrics
from query_service.projection.errors import Unprojectable
from query_service.projection.project import ProjectedEvent


class MeteredProjection:
    """The ProjectionObserver that writes metrics. `now` gives microseconds since 1970."""

    def __init__(self, metrics: ProjectMetrics, now: Callable[[], int]) -> None:
        self._metrics, self._now = metrics, now

    def applied(self, event: ProjectedEvent) -> None:
        """See ProjectionObserver."""
        lag = (self._now() - event.event["recorded_at"]) / 1e6
        self._metrics.applied(event.event["event_type"], lag)

    def parked(self, reason: Unprojectable) -> None:
        """See ProjectionObserver."""
        self._metrics.parked(str(reason))
