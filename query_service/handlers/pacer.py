"""Waits between attempts: longer each time, never longer than a few seconds, for a reason that can be looked up."""

from __future__ import annotations

import asyncio
import random

import structlog

_log = structlog.get_logger(__name__)
FIRST_SECONDS, LONGEST_SECONDS = 0.1, 5.0


class BackoffPacer:
    """Shared by the steps that depend on the same thing. `reason` is None while all goes well."""

    def __init__(self, subject: str, *, first: float = FIRST_SECONDS, longest: float = LONGEST_SECONDS) -> None:
        self._subject, self._first, self._longest = subject, first, longest
        self._attempts = 0
        self.reason: str | None = None

    async def pause(self, reason: str) -> None:
        """Waits; the first pause of a row is logged."""
        if self.reason is None:
            _log.warning("paused", subject=self._subject, reason=reason)
        self.reason = reason
        seconds = min(self._longest, self._first * 2 ** min(self._attempts, 16))
        self._attempts += 1
        await asyncio.sleep(seconds * random.uniform(0.75, 1.0))  # noqa: S311 - spreads attempts, guards nothing

    def resume(self) -> None:
        """All goes well again."""
        if self.reason is not None:
            _log.info("resumed", subject=self._subject, attempts=self._attempts)
        self.reason, self._attempts = None, 0
