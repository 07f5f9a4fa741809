"""Describes what the relay is doing: state, last error, and whether its loop still moves.

The loop writes it, and its session by `moved` and `reached`. Pages, probes and metrics read it. Nothing decides by it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from relay.events.cursor import Cursor
from relay.events.source import Mode
from relay.events.utc_time import utc_text
from relay.outbox.adoption_record import AdoptionRecord

STARTING = "STARTING"
STANDBY = "STANDBY"
RESUMING = "RESUMING"
PUBLISHING = "PUBLISHING"
RETRYING = "RETRYING"
STOPPED = "STOPPED"
#: All states; those of refusals carry the names that the refusals have.
STATES = (
    STARTING,
    STANDBY,
    RESUMING,
    PUBLISHING,
    RETRYING,
    "REFUSED",
    "SOURCE_CHANGED",
    "SOURCE_IS_STANDBY",
    STOPPED,
)
#: The loop says at least this often that it moves; the waits in it have limits well below.
WEDGED_SECONDS = 45.0


@dataclass(slots=True)
class RelayStatus:
    """Mutable; written by the publish loop, read by probes, metrics and pages."""

    mode: Mode
    state: str = STARTING
    leader: bool = False
    term: int | None = None
    source_epoch: int | None = None
    publish_epoch: int | None = None
    stream_sequence: int | None = None
    cursor: Cursor | None = None
    loss: str | None = None
    adoption: AdoptionRecord | None = None
    parked_aggregates: int = 0
    last_error: str | None = None
    last_error_at: float | None = None
    last_progress: float | None = None
    inflight_bytes: int = 0
    _due: float = field(default_factory=lambda: time.monotonic() + WEDGED_SECONDS)

    def moved(self, expect_within: float = WEDGED_SECONDS) -> None:
        """Records that the loop moved, and will again within so many seconds."""
        self._due = time.monotonic() + expect_within

    def reached(
        self, mode: Mode, *, stream_sequence: int, cursor: Cursor | None, inflight_bytes: int, parked_aggregates: int
    ) -> None:
        """Records what the stream has acknowledged, and up to which cursor (None: no message of this session yet)."""
        if stream_sequence != self.stream_sequence:
            self.stream_sequence, self.last_progress = stream_sequence, time.time()
        if cursor is not None:
            self.cursor = cursor
        self.mode, self.inflight_bytes, self.parked_aggregates = mode, inflight_bytes, parked_aggregates
        self.moved()

    def failed(self, reason: str) -> None:
        """Records the latest error; it stays until the next one."""
        self.last_error, self.last_error_at = reason, time.time()

    def stepped_back(self) -> None:
        """Forgets what was known as leader."""
        self.leader, self.cursor = False, None

    def live(self) -> str | None:
        """None while the loop moves. An outage is no reason to be killed, because the loop waits and moves."""
        late = time.monotonic() - self._due
        return None if late < 0 else f"the relay's loop should have moved {late:.0f} s ago"

    def ready(self) -> str | None:
        """None if this relay publishes, or stands by for one that does."""
        if self.state in {PUBLISHING, STANDBY}:
            return None
        return f"{self.state}: {self.last_error}" if self.last_error else self.state

    def page(self) -> dict[str, Any]:
        """For `/lagz`, beside the lag."""
        return {
            "mode": self.mode.name,
            "mode_reason": self.mode.reason,
            "state": self.state,
            "leader": self.leader,
            "term": self.term,
            "source_epoch": self.source_epoch,
            "publish_epoch": self.publish_epoch,
            "stream_sequence": self.stream_sequence,
            "cursor": self.cursor.text if self.cursor is not None else None,
            "loss": self.loss,
            "adoption": self.adoption.as_dict() if self.adoption is not None else None,
            "parked_aggregates": self.parked_aggregates,
            "last_error": self.last_error,
            "last_error_at": _time_text(self.last_error_at),
            "last_progress_at": _time_text(self.last_progress),
        }


def _time_text(seconds: float | None) -> str | None:
    return utc_text(seconds) if seconds is not None else None
