"""Defines the metrics of the query service. Durations are in seconds.

No label is an id, so the number of series is bounded.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import Exemplar, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LAG_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)


class _Watched:
    """A registry of its own, with gauges that are read when they are collected."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

    def watch(self, name: str, description: str, value: Callable[[], float]) -> None:
        """Registers a gauge whose value is read at each collection."""
        Gauge(name, description, registry=self.registry).set_function(value)


class TracedSeconds(Protocol):
    """A histogram exemplar: one duration with its trace."""

    @property
    def trace_id(self) -> str:
        """The trace of the event."""

    @property
    def seconds(self) -> float:
        """The duration."""

    @property
    def at(self) -> float:
        """The time of the measurement, in seconds since 1970."""


class CountedSeconds(Protocol):
    """A histogram maintained outside prometheus_client: one count per bucket and one for longer durations."""

    @property
    def counts(self) -> Sequence[int]:
        """The number of durations per bucket."""

    @property
    def total(self) -> float:
        """The sum of all durations."""

    @property
    def exemplars(self) -> Mapping[int, TracedSeconds]:
        """An exemplar by the index of its bucket."""


class _Stages(Collector):
    """Exports histograms that are counted elsewhere, because prometheus_client's locks cost too much per event."""

    def __init__(self) -> None:
        self._generations: dict[str, tuple[Sequence[float], Mapping[str, CountedSeconds]]] = {}

    def add(self, generation: str, bounds: Sequence[float], stages: Mapping[str, CountedSeconds]) -> None:
        """Adds the histograms of a generation, in place of earlier ones."""
        self._generations[generation] = bounds, stages

    def collect(self) -> Iterable[Metric]:
        """See Collector."""
        family = HistogramMetricFamily(
            "projector_stage_seconds",
            "Time from the stage before: committed, published (in the stream), received, applied, searchable.",
            labels=["stage", "generation"],
        )
        for generation, (bounds, stages) in self._generations.items():
            for stage, counted in stages.items():
                buckets = _buckets(bounds, counted)
                family.add_metric([stage, generation], buckets=buckets, sum_value=counted.total)  # type: ignore[arg-type]
        yield family


def _buckets(bounds: Sequence[float], counted: CountedSeconds) -> list[tuple[str, float, Exemplar | None]]:
    buckets: list[tuple[str, float, Exemplar | None]] = []
    below = 0
    for number, (label, count) in enumerate(
        zip([*(f"{bound:g}" for bound in bounds), "+Inf"], counted.counts, strict=True)
    ):
        below += count
        shown = None
        if (example := counted.exemplars.get(number)) is not None:
            shown = Exemplar({"trace_id": example.trace_id}, example.seconds, example.at)
        buckets.append((label, below, shown))
    return buckets


class ServeMetrics(_Watched):
    """Counts and times what a serving process does, for Prometheus."""

    def __init__(self) -> None:
        super().__init__()
        self._calls = Counter(
            "query_calls",
            "Calls ended, by gRPC status; ABANDONED: the caller left.",
            ["method", "code"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "query_call_seconds", "Time per call.", ["method"], buckets=_BUCKETS, registry=self.registry
        )
        self._of_call: dict[tuple[str, str], tuple[Counter, Histogram]] = {}
        self._faults = Counter("query_side_task_faults", "Faults of side tasks.", ["task"], registry=self.registry)
        self._waits = Histogram(
            "query_token_wait_seconds",
            "Time that answers waited for the versions that a token names, by outcome: applied, stale or behind.",
            ["outcome"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._searchable = Histogram(
            "query_searchable_wait_seconds",
            "Time that lists waited until everything that a token names was searchable, by outcome: refreshed, verified"
            " by a search, or behind.",
            ["outcome"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._refreshes = Counter(
            "query_refresh_requests",
            "Refreshes requested from the projectors, by answer: refreshed, refused or unanswered.",
            ["outcome"],
            registry=self.registry,
        )

    def refresh_asked(self, outcome: str) -> None:
        """Counts a request to the projectors: see RequestObserver."""
        self._refreshes.labels(outcome).inc()

    def searchable(self, outcome: str, seconds: float) -> None:
        """Counts a list's wait for the versions of a token: see RefreshObserver."""
        self._searchable.labels(outcome).observe(seconds)

    def call(self, method: str, code: str, seconds: float) -> None:
        """Counts a call that ended after `seconds`. `code` is the name of its gRPC status, or ABANDONED."""
        counters = self._of_call.get((method, code))
        if counters is None:  # cached, because looking up labels takes longer than counting
            counters = self._of_call[method, code] = self._calls.labels(method, code), self._seconds.labels(method)
        counters[0].inc()
        counters[1].observe(seconds)

    def watch_side_tasks(self, tasks: Iterable[str]) -> None:
        """Creates the counters of these tasks' faults at 0, so that the first fault is an increase."""
        for task in tasks:
            self._faults.labels(task)

    def failed(self, task: str) -> None:
        """Counts a fault of a side task."""
        self._faults.labels(task).inc()

    def waited(self, outcome: str, seconds: float) -> None:
        """Counts a wait for the versions of a token: see WaitObserver."""
        self._waits.labels(outcome).observe(seconds)


class ProjectMetrics(_Watched):
    """Counts and times what a projector does, for Prometheus."""

    def __init__(self) -> None:
        super().__init__()
        self._applied = Counter("projector_applied_events", "Events applied.", ["event_type"], registry=self.registry)
        self._applied_of: dict[str, Counter] = {}
        self._parked = Counter("projector_parked_events", "Events parked.", ["reason"], registry=self.registry)
        self._lag = Histogram(
            "projector_recorded_to_applied_seconds",
            "Time from an event's record in the database until its documents are stored.",
            buckets=_LAG_BUCKETS,
            registry=self.registry,
        )
        self._batch_events = Histogram(
            "projector_batch_events",
            "Messages per batch.",
            buckets=(1, 3, 10, 30, 100, 300, 1000),
            registry=self.registry,
        )
        self._batch_seconds = Histogram(
            "projector_batch_seconds",
            "Time per batch, with the waits for the store.",
            buckets=_LAG_BUCKETS,
            registry=self.registry,
        )
        self._pending = Gauge(
            "projector_pending_events",
            "Messages of the stream not yet acknowledged, by generation.",
            ["generation"],
            registry=self.registry,
        )
        self._as_of = Gauge(
            "projector_as_of_seconds",
            "Everything committed before this time is applied, by generation.",
            ["generation"],
            registry=self.registry,
        )
        self._feeds = Gauge(
            "projector_feeds",
            "1 for each generation that this projector feeds; 0 for one that it passes over.",
            ["generation"],
            registry=self.registry,
        )
        self._stages = _Stages()
        self.registry.register(self._stages)

        self._refresh_seconds = Histogram(
            "projector_refresh_seconds",
            "Time per refresh that this projector did for all, by outcome: done or failed.",
            ["outcome"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._refresh_requests = Counter(
            "projector_refresh_requests",
            "Requests to refresh the index, by where the refresh was done: here or elsewhere.",
            ["outcome"],
            registry=self.registry,
        )
        self._watch_drift()

    def _watch_drift(self) -> None:
        self._drift_found = Counter(
            "projector_drift_found", "Differences between read model and write side.", ["kind"], registry=self.registry
        )
        self._drift_repaired = Counter(
            "projector_drift_repaired", "Differences that were repaired.", ["kind"], registry=self.registry
        )
        self._drift_seconds = Histogram(
            "projector_drift_check_seconds",
            "Time per check of the read model for drift, with its rests.",
            buckets=(1, 3, 10, 30, 100, 300, 1000, 3600, 14400),
            registry=self.registry,
        )
        self._drift_last = Gauge(
            "projector_drift_check_time_seconds",
            "When this projector last completed a check for drift; 0: never. One projector at a time checks.",
            registry=self.registry,
        )
        self._drift_failed = Counter(
            "projector_drift_check_problems",
            "Checks for drift that could not be completed, or did not repair everything.",
            registry=self.registry,
        )
        self._faults = Counter(
            "projector_side_task_faults", "Faults of background tasks, by task.", ["task"], registry=self.registry
        )

    def drift_checked(
        self, found: Mapping[str, int], repaired: Mapping[str, int], seconds: float, ended_at: float
    ) -> None:
        """Counts a complete check for drift: see DriftCounters."""
        for kind, number in found.items():
            self._drift_found.labels(kind).inc(number)
        for kind, number in repaired.items():
            self._drift_repaired.labels(kind).inc(number)
        self._drift_seconds.observe(seconds)
        self._drift_last.set(ended_at)

    def drift_problem(self) -> None:
        """Counts a check for drift that could not be completed: see DriftCounters."""
        self._drift_failed.inc()

    def failed(self, task: str) -> None:
        """Counts a fault of a side task."""
        self._faults.labels(task).inc()

    def stages(self, generation: str, bounds: Sequence[float], stages: Mapping[str, CountedSeconds]) -> None:
        """Registers the histograms of a generation's lags by stage. `bounds`: the buckets' upper bounds in seconds."""
        self._stages.add(generation, bounds, stages)

    def feeds(self, generation: str, fed: bool) -> None:
        """Sets whether this projector feeds a generation."""
        self._feeds.labels(generation).set(fed)

    def gone(self, generation: str) -> None:
        """Removes the series of a generation that no longer exists."""
        for gauge in (self._feeds, self._pending, self._as_of):
            with contextlib.suppress(KeyError):
                gauge.remove(generation)

    def refreshed(self, outcome: str, seconds: float) -> None:
        """Counts a refresh by this projector: see RefreshObserver."""
        self._refresh_seconds.labels(outcome).observe(seconds)

    def asked(self, outcome: str) -> None:
        """Counts a request for a refresh: see RefreshObserver."""
        self._refresh_requests.labels(outcome).inc()

    def applied(self, event_type: str, lag_seconds: float) -> None:
        """Counts an applied event. `lag_seconds`: the time since it was recorded."""
        counter = self._applied_of.get(event_type)
        if counter is None:  # cached, because looking up labels takes longer than counting
            counter = self._applied_of[event_type] = self._applied.labels(event_type)
        counter.inc()
        self._lag.observe(max(0.0, lag_seconds))

    def parked(self, reason: str) -> None:
        """Counts a parked event."""
        self._parked.labels(reason).inc()

    def batch(self, messages: int, seconds: float) -> None:
        """Counts a batch of `messages` that took `seconds`."""
        self._batch_events.observe(messages)
        self._batch_seconds.observe(seconds)

    def pending(self, generation: str, messages: int) -> None:
        """Sets the number of messages that all projectors together have not acknowledged yet."""
        self._pending.labels(generation).set(messages)

    def as_of(self, generation: str, seconds: float) -> None:
        """Sets the time before which everything committed is applied, in seconds since 1970."""
        self._as_of.labels(generation).set(seconds)
