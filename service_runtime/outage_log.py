"""Logs an outage: one line when it begins, one line a minute while it lasts, and one line when it ends.

During an outage, what depends on the missing part may fail thousands of times a minute. So the lines say only how long
the outage has lasted, why, and how many failures there were.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import structlog

_log = structlog.get_logger(__name__)
MINUTE = 60.0
#: The limit of lines for an outage that comes and goes all the time.
MOST_LINES_A_MINUTE = 10


class OutageLog:
    """Logs the outages of one part, such as a database.

    `begins` and `ends` are the events of the log lines. `fields` are in each line. `clock` returns seconds.
    """

    def __init__(self, begins: str, ends: str, *, clock: Callable[[], float] = time.monotonic, **fields: str) -> None:
        self._begins, self._ends, self._fields, self._clock = begins, ends, fields, clock
        self._since: float | None = None
        self._kind: dict[str, str] = {}
        self._told_at = 0.0
        self._lines: deque[float] = deque(maxlen=MOST_LINES_A_MINUTE)
        self._failures = 0

    def failed(self, reason: str, **kind: str) -> None:
        """Records a failure with its reason. If its `kind` differs from that of the last line, it is logged at once."""
        now = self._clock()
        self._failures += 1
        if self._since is None:
            self._since, self._kind = now, kind
            self._tell(_log.warning, self._begins, now, **kind, reason=reason)
        elif kind != self._kind or now - self._told_at >= MINUTE:
            self._kind = kind
            self._tell(
                _log.warning,
                self._begins,
                now,
                **kind,
                reason=reason,
                failures=self._failures,
                seconds=round(now - self._since),
            )

    def works(self) -> None:
        """Records a success, which ends an outage."""
        if self._since is None:
            return
        now = self._clock()
        self._tell(_log.info, self._ends, now, failures=self._failures, seconds=round(now - self._since))
        self._since, self._failures = None, 0

    def _tell(self, log: Callable[..., object], event: str, now: float, **what: object) -> None:
        if len(self._lines) == MOST_LINES_A_MINUTE and now - self._lines[0] < MINUTE:
            return
        self._lines.append(now)
        self._told_at = now
        log(event, **self._fields, **what)
