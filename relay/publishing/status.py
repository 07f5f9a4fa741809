"""What the relay is doing, for those who look at it: state, last error, and whether its loop still moves."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from relay.events.utc_time import utc_text
from relay.publishing.own_lag import OwnLag

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
    """Mutable; written by the loop only, read by probes, metrics and pages."""

    mode: str
    mode_reason: str | None = None
    state: str = STARTING
    leader: bool = False
    term: int | None = None
    source_epoch: int | None = None
    publish_epoch: int | None = None
    stream_sequence: int | None = None
    cursor: str | None = None
    loss: str | None = None
    adoption: dict[str, Any] | None = None
    parked_aggregates: int = 0
    last_error: str | None = None
    last_error_at: str | None = None
    last_progress: float | None = None
    inflight_bytes: int = 0
    own_lag: OwnLag | None = None
    _due: float = field(default_factory=lambda: time.monotonic() + WEDGED_SECONDS)

    def moved(self, expect_within: float = WEDGED_SECONDS) -> None:
        """The loop has come round once more, and will again within so many seconds."""
        self._due = time.monotonic() + expect_within

    def failed(self, reason: str) -> None:
        """Keeps the latest error for those who ask; it stays until the next one."""
        self.last_error = reason
        self.last_error_at = utc_text(time.time())

    def stepped_back(self) -> None:
        """Does not lead, or not any more: what was known as leader is of no use now."""
        self.leader, self.cursor, self.own_lag = False, None, None

    def progressed(self) -> None:
        """Something was stored in the stream just now."""
        self.last_progress = time.time()

    def live(self) -> str | None:
        """None while the loop moves. An outage is no reason to be killed: the loop waits it out, moving."""
        late = time.monotonic() - self._due
        return None if late < 0 else f"the relay's loop should have moved {late:.0f} s ago"

    def ready(self) -> str | None:
        """None when this relay publishes, or stands by for one that does."""
        if self.state in {PUBLISHING, STANDBY}:
            return None
        return f"{self.state}: {self.last_error}" if self.last_error else self.state

    def page(self) -> dict[str, Any]:
        """For `/lagz`, beside the lag."""
        return {
            "mode": self.mode,
            "mode_reason": self.mode_reason,
            "state": self.state,
            "leader": self.leader,
            "term": self.term,
            "source_epoch": self.source_epoch,
            "publish_epoch": self.publish_epoch,
            "stream_sequence": self.stream_sequence,
            "cursor": self.cursor,
            "loss": self.loss,
            "adoption": self.adoption,
            "parked_aggregates": self.parked_aggregates,
            "last_error": self.last_error,
            "last_error_at": self.last_error_at,
            "last_progress_at": utc_text(self.last_progress) if self.last_progress is not None else None,
        }
