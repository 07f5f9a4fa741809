"""Counts the events that a projector applies and parks."""

from __future__ import annotations

import json
from collections.abc import Callable

from query_service.application.lags.stage_lags import StageLags
from query_service.application.projecting.project_events import Delivery
from query_service.metrics import ProjectMetrics
from query_service.projection.errors import Unprojectable
from query_service.projection.project import ProjectedEvent


class MeteredProjection:
    """Implements ProjectionObserver with metrics. `now` returns microseconds since 1970."""

    def __init__(self, metrics: ProjectMetrics, lags: StageLags, now: Callable[[], int]) -> None:
        self._metrics, self._lags, self._now = metrics, lags, now

    def applied(self, event: ProjectedEvent, delivery: Delivery) -> None:
        """See ProjectionObserver."""
        recorded_at = event.event["recorded_at"]
        self._metrics.applied(event.event["event_type"], (self._now() - recorded_at) / 1e6)
        trace_id = trace_id_of(event.event["headers"])
        self._lags.applied(recorded_at, delivery.stored_at, delivery.received_at, trace_id)

    def parked(self, reason: Unprojectable) -> None:
        """See ProjectionObserver."""
        self._metrics.parked(str(reason))


def trace_id_of(recorded_headers: str) -> str:
    """Returns the trace id of the W3C `traceparent` in an event's recorded headers; "" without one."""
    if '"traceparent"' not in recorded_headers:
        return ""
    parts = str(json.loads(recorded_headers).get("traceparent")).split("-")
    return parts[1] if len(parts) >= 4 and len(parts[1]) == 32 else ""
