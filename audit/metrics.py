"""Defines the metrics of notary and witness. No label is an id, so the number of series is bounded."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge


class NotaryMetrics:
    """What a notary has appended, signed and given to its witness."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._leaves = Counter("audit_leaves", "Leaves appended, by kind.", ["kind"], registry=self.registry)
        for kind in ("event", "epoch", "refused"):
            self._leaves.labels(kind)
        self._repeated = Counter(
            "audit_repeated_events", "Events read that the log had already.", registry=self.registry
        )
        self._unchecked = Counter(
            "audit_unchecked_events",
            "Events whose hash could not be recomputed, because the log lacks the event before.",
            registry=self.registry,
        )
        self._lost = Counter(
            "audit_lost_messages", "Messages that left the stream before they were read.", registry=self.registry
        )
        self._size = Gauge("audit_log_size", "Leaves of the log.", registry=self.registry)
        self._pending = Gauge("audit_pending_messages", "Messages that are not read yet.", registry=self.registry)
        self._signed = Gauge("audit_signed_size", "Leaves of the newest signed checkpoint.", registry=self.registry)
        self._cosigned = Gauge(
            "audit_cosigned_size", "Leaves of the newest checkpoint that the witness signed.", registry=self.registry
        )
        self._failed = Counter(
            "audit_side_task_failures", "Background tasks that failed.", ["task"], registry=self.registry
        )

    def watch(self, name: str, description: str, value: Callable[[], float]) -> None:
        """Registers a gauge whose value is read at each collection."""
        Gauge(name, description, registry=self.registry).set_function(value)

    def appended(self, kinds: list[str], repeated: int, unchecked: int) -> None:
        """Counts what a batch has added."""
        for kind in kinds:
            self._leaves.labels(kind).inc()
        self._repeated.inc(repeated)
        self._unchecked.inc(unchecked)

    def reached(self, size: int, pending: int) -> None:
        """Sets the size of the log and the backlog."""
        self._size.set(size)
        self._pending.set(pending)

    def lost(self, messages: int) -> None:
        """Counts messages that were not there any more."""
        self._lost.inc(messages)

    def signed(self, size: int) -> None:
        """Sets the size of the newest checkpoint."""
        self._signed.set(size)

    def cosigned(self, size: int) -> None:
        """Sets the size of the newest cosigned checkpoint."""
        self._cosigned.set(size)

    def failed(self, task: str) -> None:
        """Counts a background task that failed."""
        self._failed.labels(task).inc()


class WitnessMetrics:
    """What a witness has signed and refused."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._signed = Gauge("audit_witness_size", "Leaves of the checkpoint signed last.", registry=self.registry)
        self._refused = Counter(
            "audit_witness_refusals", "Checkpoints that contradicted the one signed before.", registry=self.registry
        )

    def signed(self, size: int) -> None:
        """Sets the size that was signed."""
        self._signed.set(size)

    def refused(self) -> None:
        """Counts a checkpoint that contradicts the one before."""
        self._refused.inc()
