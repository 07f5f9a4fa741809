"""What a leader knows of its own lag at any moment, without asking anybody.

Measurements come once a second, and in between a leader stores thousands of events. Two things it knows by itself:
which events it has sent and has no ack for, and up to which source time it has read everything. Events are sent in the
order of their commits, so the oldest in flight stands for the oldest unpublished one; when nothing is in flight and all
up to a moment ago has been read, there is none. Otherwise it cannot tell, and the table must be asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

#: Checkpoints of the log come twice a second, and before Postgres 17 a fifth of a second late.
RECENT_SECONDS = 1.0


@dataclass(slots=True)
class OwnLag:
    """Of one publishing session. Times are µs since 1970 by the database's clock, `now` among them.

    `oldest_in_flight` is the least `recorded_at` of what has no ack yet, None when there is no such event; `settled`
    whether there is no such message at all. `read_up_to`: everything committed before it has been read. What a session
    knew at its end (`over`) stays true for a moment, until the table has been asked.
    """

    oldest_in_flight: Callable[[], int | None]
    settled: Callable[[], bool]
    read_up_to: int | None = None
    last_read: int | None = None
    over: bool = False

    def oldest(self, now: int, measured: int | None) -> int | None:
        """`recorded_at` of the oldest unpublished event, given what was measured last; None when there is none."""
        in_flight = self.oldest_in_flight()
        if in_flight is not None:
            return in_flight
        if measured is None or self._recent(now):
            return None
        return max(measured, self.last_read) if self.last_read is not None else measured

    def tells(self, now: int) -> bool:
        """Whether no measurement is needed to know the age now."""
        return not self.settled() or self._recent(now)

    def _recent(self, now: int) -> bool:
        return self.read_up_to is not None and now - self.read_up_to < RECENT_SECONDS * 1e6
