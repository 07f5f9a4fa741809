"""Describes what the relay is doing: its state, its last error, and whether its loop still runs.

The publish loop writes the status; its session calls only `moved` and `reached`. Pages, probes and metrics read it. The
relay makes no decision from it.
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
#: All states. The state of a refusal is the `state` of its class (`relay.events.errors`).
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
#: The loop calls `moved` at least this often, because each of its waits is much shorter.
WEDGED_SECONDS = 45.0


@dataclass(slots=True)
class RelayStatus:
    """The relay's status. The publish loop changes it; probes, metrics and pages read it.

    `last_error_at` and `last_progress` are in seconds since 1970. Values are None while nothing is known.
    """

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
        """Records that the loop runs, and that it will call this again within `expect_within` seconds."""
        self._due = time.monotonic() + expect_within

    def reached(
        self, mode: Mode, *, stream_sequence: int, cursor: Cursor | None, inflight_bytes: int, parked_aggregates: int
    ) -> None:
        """Records up to which sequence and cursor the stream has acknowledged, and that the loop runs.

        `cursor` is None before the first ack of the session.
        """
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
        """Records that this relay does not lead, and forgets its cursor."""
        self.leader, self.cursor = False, None

    def live(self) -> str | None:
        """Returns None while the loop runs, otherwise how long it has hung. During an outage the loop runs."""
        late = time.monotonic() - self._due
        return None if late < 0 else f"the relay's loop should have moved {late:.0f} s ago"

    def ready(self) -> str | None:
        """Returns None if this relay publishes or stands by, otherwise its state and last error."""
        if self.state in {PUBLISHING, STANDBY}:
            return None
        return f"{self.state}: {self.last_error}" if self.last_error else self.state

    def page(self) -> dict[str, Any]:
        """Returns the status as fields of the page `/lagz`, which also shows the lag."""
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
