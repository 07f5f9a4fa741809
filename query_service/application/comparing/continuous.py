"""Checks for drift all the time, in one projector at a time, within a budget of processor time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from query_service.application.comparing.drift_check import DriftCheck, DriftReport
from query_service.application.ports.checked_store import CheckedStore
from query_service.application.ports.errors import DependencyDown, ReadStoreNotReady
from query_service.application.ports.order_source import SourceRefused

#: How long a projector keeps the checks without renewing its claim, in seconds.
LEASE_SECONDS = 60.0
#: The least time between the starts of two rounds, and the pause after one that could not be completed, in seconds.
ROUND_SECONDS, PROBLEM_SECONDS = 60.0, 10.0
#: The number of orders whose content is checked in a round. Rounds in a row check the content of all orders.
CONTENT_OF_ROUND = 500


class ClaimLost(Exception):  # noqa: N818
    """Another projector does the checks by now."""


class DriftObserver(Protocol):
    """Reports rounds to operators."""

    def round_done(self, report: DriftReport, ended_at: int) -> None:
        """Reports a round. `ended_at` is in microseconds since 1970."""

    def round_failed(self, problem: str) -> None:
        """Reports that a round could not be completed, and why."""


class DriftClaim:
    """The claim of one process, `holder`, to do the checks of `store`. `now` returns microseconds since 1970."""

    def __init__(self, store: CheckedStore, holder: str, now: Callable[[], int]) -> None:
        self._store, self._holder, self._now = store, holder, now
        self._renew_at = 0

    async def take(self) -> bool:
        """Takes or renews the claim, and returns whether this process has it."""
        stored = await self._store.drift_record()
        record = stored.record
        if record.holder not in ("", self._holder) and record.lease_until > self._now():
            return False
        lease_until = self._now() + round(LEASE_SECONDS * 1e6)
        claimed = replace(record, holder=self._holder, lease_until=lease_until)
        if not await self._store.save_drift_record(claimed, stored):
            return False
        self._renew_at = lease_until - round(LEASE_SECONDS / 2 * 1e6)
        return True

    async def give_back(self) -> None:
        """Ends the claim of this process, if it has it, so that another one can do what this one cannot."""
        stored = await self._store.drift_record()
        if stored.record.holder == self._holder:
            await self._store.save_drift_record(replace(stored.record, lease_until=0), stored)

    async def keep(self) -> None:
        """Renews the claim when half of its time is over. Raises ClaimLost."""
        if self._now() >= self._renew_at and not await self.take():
            raise ClaimLost


class BudgetedPace:
    """Rests so long that the work between two rests takes `share` of one processor core, and keeps the claim.

    `processor_time` returns the seconds of processor time that the work has taken, `clock` seconds.
    """

    def __init__(
        self,
        share: float,
        claim: DriftClaim,
        processor_time: Callable[[], float],
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._share, self._claim, self._sleep = share, claim, sleep
        self._processor_time, self._clock = processor_time, clock
        self._used, self._since = processor_time(), clock()

    async def rest(self) -> None:
        """See Pace. Time in which the work waited counts as rest, but is not saved for later."""
        await self._claim.keep()
        used, passed = self._processor_time() - self._used, self._clock() - self._since
        pause = used / self._share - passed
        while pause > 0:
            await self._sleep(min(pause, LEASE_SECONDS / 4))
            pause -= LEASE_SECONDS / 4
            await self._claim.keep()
        self._used, self._since = self._processor_time(), self._clock()


class ContinuousCheck:
    """Runs rounds with repairs as long as this process has the claim. `pace` is the pace of the rounds too."""

    def __init__(
        self,
        check: DriftCheck,
        claim: DriftClaim,
        pace: BudgetedPace,
        observer: DriftObserver,
        now: Callable[[], int],
        *,
        round_seconds: float = ROUND_SECONDS,
    ) -> None:
        self._check, self._claim, self._pace, self._observer, self._now = check, claim, pace, observer, now
        self._round_seconds = round_seconds

    async def run(self) -> None:
        """Checks until cancelled."""
        for turn in itertools.count(secrets.randbelow(2**20)):
            started = self._now()
            try:
                if await self._claim.take():
                    report = await self._check(repair=True, sample=CONTENT_OF_ROUND, turn=turn)
                    self._observer.round_done(report, self._now())
                    await self._pace.rest()
            except ClaimLost:
                pass
            except (DependencyDown, ReadStoreNotReady, SourceRefused) as problem:
                self._observer.round_failed(str(problem))
                with contextlib.suppress(DependencyDown, ReadStoreNotReady):
                    await self._claim.give_back()
                await asyncio.sleep(min(PROBLEM_SECONDS, self._round_seconds))
                continue
            await asyncio.sleep(max(0.0, self._round_seconds - (self._now() - started) / 1e6))
