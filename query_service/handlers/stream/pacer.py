"""Waits between attempts, longer each time up to a limit, and shows the reason to operators."""

from __future__ import annotations

import asyncio

from service_runtime.backoff import Backoff
from service_runtime.outage_log import OutageLog

FIRST_SECONDS, LONGEST_SECONDS = 0.1, 5.0


class BackoffPacer:
    """Implements Pacer for a projector. All steps that need the same store share it. `reason` is None while not paused.

    `first` and `longest` are the limits of the back-off, in seconds.
    """

    def __init__(self, subject: str, *, first: float = FIRST_SECONDS, longest: float = LONGEST_SECONDS) -> None:
        self._backoff = Backoff(first, longest)
        self._log = OutageLog("paused", "resumed", subject=subject)
        self.reason: str | None = None

    async def pause(self, reason: str) -> None:
        """Waits, longer each time until `resume`."""
        self._log.failed(reason)
        self.reason = reason
        await asyncio.sleep(self._backoff.seconds())

    def resume(self) -> None:
        """Ends the pause: the next one is short again."""
        self._log.works()
        self.reason = None
        self._backoff.reset()
