"""Exports the relay's metrics to Prometheus. Each label has few possible values."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from relay.lag.observer import Lag, LagObserver
from relay.publishing.status import STATES, RelayStatus
from relay.wal.slot_watch import SLOT_STATES

BUCKETS_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class CommitToAck(Collector):
    """A histogram of the time from `recorded_at` to the stream's ack.

    It counts all events of a flight at once, which is cheaper than one observation for each event and just as exact.
    `clock` returns seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._counts = [0] * (len(BUCKETS_SECONDS) + 1)
        self._sum = 0.0

    def observe(self, recorded_at: Sequence[int], clock_offset: float) -> None:
        """Counts at least one event recorded at those times (µs since 1970, database clock) and stored just now."""
        now = self._clock() + clock_offset
        first, last = (bisect_left(BUCKETS_SECONDS, now - one / 1e6) for one in (max(recorded_at), min(recorded_at)))
        if first == last > 0:
            # In a backlog, all events of a flight have ages in the same bucket.
            self._counts[first] += len(recorded_at)
            self._sum += now * len(recorded_at) - sum(recorded_at) / 1e6
            return
        for one in recorded_at:
            seconds = max(0.0, now - one / 1e6)
            self._counts[bisect_left(BUCKETS_SECONDS, seconds)] += 1
            self._sum += seconds

    def collect(self) -> Iterator[Metric]:
        """Returns one histogram with cumulative buckets."""
        total = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip([*map(str, BUCKETS_SECONDS), "+Inf"], self._counts, strict=True):
            total += count
            buckets.append((bound, total))
        yield HistogramMetricFamily(
            "relay_commit_to_ack_seconds",
            "Time from an event's recorded_at to the stream's ack",
            buckets=buckets,
            sum_value=self._sum,
        )


class RelayMetrics:
    """All metrics of one relay, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.commit_to_ack = CommitToAck()
        self.registry.register(self.commit_to_ack)
        self.published = Counter("relay_published", "Events, by outcome", ["outcome"], registry=self.registry)
        for outcome in ("stored", "duplicate"):
            self.published.labels(outcome)
        self.fenced = Counter(
            "relay_fenced",
            "Times another writer had published into the stream: a publish was refused, or its messages were found",
            registry=self.registry,
        )
        self.errors = Counter("relay_errors", "Errors, by class", ["class"], registry=self.registry)
        for name in ("database", "nats", "event", "flight", "duplicate", "source", "refused", "lag"):
            self.errors.labels(name)
        self.sessions = Counter("relay_sessions", "Publishing sessions begun", registry=self.registry)

    def show(self, status: RelayStatus, lag: LagObserver) -> None:
        """Adds the gauges. Their values are read from `status` and `lag` at each scrape."""

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(name, text, registry=self.registry)

        gauge("relay_oldest_unpublished_age_seconds", "Age of the oldest committed row not in the stream").set_function(
            lambda: age if (age := lag.oldest_age(time.time())) is not None else float("nan")
        )
        gauge("relay_backlog_events", "Committed rows not in the stream, counted up to a limit").set_function(
            lambda: float(lag.latest.backlog) if lag.latest else float("nan")
        )
        gauge("relay_leader", "1 for the leader").set_function(lambda: float(status.leader))
        gauge("relay_parked_aggregates", "Aggregates with parked events").set_function(
            lambda: float(status.parked_aggregates)
        )
        gauge(
            "relay_last_progress_timestamp_seconds", "When the stream last accepted a message of the relay"
        ).set_function(lambda: status.last_progress or 0.0)
        gauge("relay_inflight_bytes", "Bytes sent and not acknowledged").set_function(
            lambda: float(status.inflight_bytes)
        )
        gauge(
            "relay_stream_used_ratio", "Bytes of the stream divided by its max_bytes; a full stream refuses events"
        ).set_function(lambda: lag.latest.stream_used if lag.latest else float("nan"))
        gauge("relay_slot_retained_bytes", "Log that the server keeps for the slot; 0 without a slot").set_function(
            lambda: float(lag.latest.log.slot.retained_bytes) if lag.latest and lag.latest.log.slot else 0.0
        )
        gauge("relay_slot_safe_bytes", "Log that may be written before the slot is lost; +Inf: no limit").set_function(
            lambda: _safe_bytes(lag.latest)
        )
        slot = Gauge(
            "relay_slot_status", "1 for the status of the slot on the server", ["status"], registry=self.registry
        )
        for name in SLOT_STATES:
            slot.labels(name).set_function(lambda name=name: float(_slot_status(lag.latest) == name))  # type: ignore[misc]
        mode = Gauge("relay_mode", "1 for the mode in use", ["mode"], registry=self.registry)
        for name in ("wal", "poll"):
            mode.labels(name).set_function(lambda name=name: float(status.mode.name == name))  # type: ignore[misc]
        state = Gauge("relay_state", "1 for the state the relay is in", ["state"], registry=self.registry)
        for name in STATES:
            state.labels(name).set_function(lambda name=name: float(status.state == name))  # type: ignore[misc]


def _safe_bytes(lag: Lag | None) -> float:
    if lag is None or lag.log.slot is None or lag.log.slot.safe_bytes is None:
        return float("inf")
    return float(lag.log.slot.safe_bytes)


def _slot_status(lag: Lag | None) -> str | None:
    return lag.log.slot.status if lag is not None and lag.log.slot is not None else None
