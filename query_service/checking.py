"""Assembles what compares and mends the read model: settings → store and source → application."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

import structlog
from tandem.orders.partition import partition_of

from query_service.application.comparing.compare import ReadModelComparison
from query_service.application.comparing.continuous import BudgetedPace, ContinuousCheck, DriftClaim, DriftObserver
from query_service.application.comparing.drift_check import DriftCheck, DriftReport
from query_service.application.comparing.generation_check import GenerationCheck
from query_service.application.comparing.pace import Pace
from query_service.application.ports.checked_store import CheckedReadStore, CheckedStore
from query_service.application.ports.order_source import OrderSelection, OrderSource
from query_service.application.reprojecting.reproject import Reprojected, Reprojector
from query_service.clock import now
from query_service.config import QuerySettings
from query_service.connections import order_source, wanted_feeds
from query_service.drift_commands import CheckReport, report_drift, report_orders
from query_service.storage import open_read_store
from service_runtime.outage_log import OutageLog
from service_runtime.own_thread import in_own_thread
from service_runtime.process import StartupRefused

_log = structlog.get_logger(__name__)
#: The most findings of a round that are logged one by one.
MOST_LOGGED = 20


class DriftCounters(Protocol):
    """Counts checks for drift."""

    def drift_checked(
        self, found: Mapping[str, int], repaired: Mapping[str, int], seconds: float, ended_at: float
    ) -> None:
        """Counts a check that took `seconds` and ended at `ended_at`, in seconds since 1970."""

    def drift_problem(self) -> None:
        """Counts a check that could not be completed, or did not repair everything."""


class _Reported:
    """Implements DriftObserver with the log and with metrics."""

    def __init__(self, counters: DriftCounters) -> None:
        self._counters, self._outages = counters, OutageLog("no check for drift", "checks for drift again")

    def round_done(self, report: DriftReport, ended_at: int) -> None:
        """See DriftObserver."""
        self._counters.drift_checked(report.found, report.repaired, report.seconds, ended_at / 1e6)
        self._outages.works()
        for finding in report.findings[:MOST_LOGGED]:
            _log.warning(
                "drift found",
                kind=str(finding.kind),
                order_id=finding.order_id,
                version=finding.version,
                detail=finding.detail,
            )
        if report.findings:
            _log.warning("drift", found=report.found, repaired=report.repaired)
        if report.problem:
            self._counters.drift_problem()
            _log.error("drift not repaired", reason=report.problem)

    def round_failed(self, problem: str) -> None:
        """See DriftObserver."""
        self._counters.drift_problem()
        self._outages.failed(problem)


async def drift(
    settings: QuerySettings, *, repair: bool = False, sample: int | None = None, most_repairs: int | None = None
) -> CheckReport:
    """Compares the read model with the write side once; see DriftCheck. Raises StartupRefused."""
    async with _opened(settings) as world:
        check = world.drift_check()
        return await report_drift(lambda: check(repair=repair, sample=sample, most_repairs=most_repairs))


async def reproject(settings: QuerySettings, orders: OrderSelection) -> CheckReport:
    """Projects the selected orders again. Named orders that the write side lacks are removed. Raises StartupRefused."""
    async with _opened(settings) as world:
        reprojector = world.reprojector(world.store)

        async def done() -> Sequence[Reprojected]:
            if orders.order_ids is not None:
                return await reprojector.orders(orders.order_ids)
            return [one async for page in reprojector.selected(orders) for one in page]

        return await report_orders(done)


def selection(what: str, ids: Sequence[str], since: int | None, until: int | None) -> OrderSelection:
    """Returns the orders that `reproject order | customer | range` selects. Times are microseconds since 1970."""
    match what:
        case "order":
            return OrderSelection(order_ids=ids)
        case "customer":
            return OrderSelection(customer_id=ids[0])
        case _:
            return OrderSelection(recorded_from=since, recorded_until=until)


async def check_continuously(settings: QuerySettings, counters: DriftCounters) -> None:
    """Checks for drift within the budget until cancelled, in a thread of its own.

    The thread makes its processor time measurable. Does nothing without an export service, or with a budget of 0.
    """
    if not settings.drift_budget or not settings.export_address:
        _log.info("no checks for drift", reason="QUERY_DRIFT_BUDGET is 0 or QUERY_EXPORT_ADDRESS is not set")
        await asyncio.Event().wait()
    await in_own_thread(lambda: _checking(settings, _Reported(counters)), "drift check")


async def _checking(settings: QuerySettings, observer: DriftObserver) -> None:
    async with _opened(settings) as world:
        holder = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"
        claim = DriftClaim(world.store, holder, now)
        pace = BudgetedPace(settings.drift_budget, claim, time.thread_time, time.monotonic)
        check = world.drift_check(pace, patience=60.0)
        await ContinuousCheck(check, claim, pace, observer, now, round_seconds=settings.drift_round_seconds).run()


class _Checking:
    """Assembles checks of a read model. `store` is the one that readers see; `opened` closes the others."""

    def __init__(self, settings: QuerySettings, source: OrderSource, opened: contextlib.AsyncExitStack) -> None:
        self._settings, self._source, self._opened = settings, source, opened
        self.store = self._store()
        self._checks: dict[str, GenerationCheck] = {}

    def drift_check(self, pace: Pace | None = None, *, patience: float = 30.0) -> DriftCheck:
        """Returns the check of all generations that are fed. A generation's store stays open until the end."""

        def check_of(generation: str) -> GenerationCheck:
            if generation not in self._checks:
                store = self._store(generation)
                comparison = ReadModelComparison(
                    store,
                    self._source,
                    partition_of,
                    time.monotonic,
                    patience=patience,
                    pace=pace,
                )
                self._checks[generation] = GenerationCheck(generation, store, comparison, self.reprojector(store), pace)
            return self._checks[generation]

        async def fed() -> dict[str, str]:
            feeds = await wanted_feeds(self.store)
            return {feed.generation: "" if feed.complete else "a rebuild is filling it" for feed in feeds}

        return DriftCheck(self.store, fed, check_of, now)

    def reprojector(self, store: CheckedStore) -> Reprojector:
        """Returns what projects orders of a store again."""
        return Reprojector(store, self._source, stream=self._settings.stream, now=now)

    def _store(self, generation: str = "") -> CheckedReadStore:
        timeout = self._settings.write_timeout_seconds
        store = open_read_store(self._settings, request_timeout=timeout, generation=generation)
        self._opened.push_async_callback(store.close)
        return store


@contextlib.asynccontextmanager
async def _opened(settings: QuerySettings) -> AsyncIterator[_Checking]:
    if settings.read_store == "memory":
        raise StartupRefused("QUERY_READ_STORE=memory: the read model is in the memory of `serve`, out of reach")
    async with contextlib.AsyncExitStack() as opened:
        source = await opened.enter_async_context(order_source(settings))
        yield _Checking(settings, source, opened)
