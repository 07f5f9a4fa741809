"""Waits between attempts: longer each time, never more than a few seconds, with a visible reason."""

from __future__ import annotations

import asyncio

from service_runtime.backoff import Backoff
from service_runtime.outage_log import OutageLog

FIRST_SECONDS, LONGEST_SECONDS = 0.1, 5.0


class BackoffPacer:
    """Shared by the steps that depend on the same thing. `reason` is None while all is well."""

    def __init__(self, subject: str, *, first: float = FIRST_SECONDS, longest: float = LONGEST_SECONDS) -> None:
        self._backoff = Backoff(first, longest)
        self._log = OutageLog("paused", "resumed", subject=subject)
        self.reason: str | None = None

    async def pause(self, reason: str) -> None:
        """Waits."""
        self._log.failed(reason)
        self.reason = reason
        await asyncio.sleep(self._backoff.seconds())

    def resume(self) -> None:
        """Records that all is well again."""
        self._log.works()
        self.reason = None
        self._backoff.reset()
