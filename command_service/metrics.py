"""Defines the metrics of the command service. Durations are in seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class CommandMetrics:
    """Counts and times what one process does, for Prometheus, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = on = CollectorRegistry()
        ended = "Calls ended, by gRPC status; ABANDONED: the caller left."
        self._calls = Counter("command_calls", ended, ["method", "code"], registry=on)
        self._seconds = Histogram("command_call_seconds", "Time per call.", ["method"], buckets=_BUCKETS, registry=on)
        self._replays = Counter("command_replays", "Calls answered with the first response.", registry=on)
        self._expired = Counter("command_log_expired", "Stored responses deleted after the promised time.", registry=on)
        self._imports = Counter("command_imported_orders", "Imported orders, by outcome.", ["outcome"], registry=on)
        self._exported = Counter("command_exported", "Elements of exports, by kind.", ["kind"], registry=on)
        self._available = Gauge("command_database_available", "1 while the database accepts commands.", registry=on)

        #: (method, status code) → the metrics of the calls that ended so.
        self._ended: dict[tuple[str, str], tuple[Counter, Histogram]] = {}
        self._faults = Counter("command_side_task_faults", "Faults of side tasks.", ["task"], registry=on)

    def call(self, method: str, code: str, seconds: float) -> None:
        """Counts an ended call by its status code, and its duration."""
        counted = self._ended.get((method, code))
        if counted is None:  # looked up once, because to find a metric by its labels costs more than to count
            counted = self._ended[method, code] = (self._calls.labels(method, code), self._seconds.labels(method))
        calls, durations = counted
        calls.inc()
        durations.observe(seconds)

    def replayed(self) -> None:
        """Counts a call that got the response of an earlier one."""
        self._replays.inc()

    def imported(self, outcome: str) -> None:
        """Counts an order of an import: `imported`, `replayed` or `refused`."""
        self._imports.labels(outcome).inc()

    def exported(self, kind: str, count: int) -> None:
        """Counts `orders` or `events` that were sent to callers of exports."""
        self._exported.labels(kind).inc(count)

    def expired(self, count: int) -> None:
        """Counts stored responses that were deleted because they were older than promised."""
        self._expired.inc(count)

    def watch_side_tasks(self, tasks: Iterable[str]) -> None:
        """Starts the fault counters of these tasks at 0, so that the first fault is an increase."""
        for task in tasks:
            self._faults.labels(task)

    def failed(self, task: str) -> None:
        """Counts a fault of a side task."""
        self._faults.labels(task).inc()

    def database_available(self, available: bool) -> None:
        """Records whether the database accepts commands."""
        self._available.set(available)

    def watch(self, name: str, description: str, value: Callable[[], float]) -> None:
        """Registers a gauge that is computed when it is read."""
        Gauge(name, description, registry=self.registry).set_function(value)
