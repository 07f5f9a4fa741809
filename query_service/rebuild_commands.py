"""Assembles and runs `rebuild start|status|verify|switch|rollback|finish|cancel`."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tandem.orders.partition import partition_of

from query_service.application.comparing.compare import Comparison, ReadModelComparison
from query_service.application.comparing.findings import Finding
from query_service.application.comparing.pace import Pace
from query_service.application.ports.checked_store import CheckedStore
from query_service.application.ports.errors import DependencyDown, ReadStoreNotReady
from query_service.application.ports.generations import Generations, Phase, Rebuild
from query_service.application.ports.order_source import OrderSource, SourceRefused
from query_service.application.ports.read_store import Freshness
from query_service.application.rebuilding.filling import Filler
from query_service.application.rebuilding.machine import RebuildRefused
from query_service.application.rebuilding.readers_first import LONGEST_REST_OF_COMPARISON_SECONDS, ReadersFirst
from query_service.application.rebuilding.rebuilds import Rebuilds, RebuildStatus, check_release, status_of
from query_service.clock import now
from query_service.config import QuerySettings
from query_service.connections import CONNECT_SECONDS, consumer_plan, generations_of, nats_connection, order_source
from query_service.handlers.nats_connection import NATS_ERRORS
from query_service.handlers.stream.pacer import BackoffPacer
from query_service.handlers.stream.rebuild_consumers import RebuildConsumers
from query_service.storage import open_read_store
from query_service.wire.rebuild_fields import rebuild_fields
from service_runtime.error_text import in_one_line

ACTIONS = ("start", "status", "verify", "switch", "rollback", "finish", "cancel")
DONE, REFUSED, DOWN = 0, 1, 3
WORKERS = 4
#: The number of orders whose content is compared field by field, and of differences that are named.
SAMPLE, MOST_NAMED = 1_000, 10


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """What to print, and the exit code: 0 done, 1 refused or not equal, 3 a store, the stream or the export is down."""

    exit_code: int
    rebuild: Mapping[str, Any] | None = None
    error: str = ""


def process_name() -> str:
    """Returns the name of this process among those that fill. A container that is started again keeps it."""
    return f"{socket.gethostname()}-{os.getpid()}"


async def run_rebuild(
    settings: QuerySettings,
    action: str,
    *,
    workers: int = WORKERS,
    join: bool = False,
    on_progress: Callable[[RebuildStatus], None] = lambda status: None,
    on_waiting: Callable[[Sequence[str]], None] = lambda workers: None,
) -> RebuildReport:
    """Runs one of ACTIONS. `start` returns when all orders are filled. `on_progress` gets its status every second.

    `on_waiting` gets the workers of other processes for whose leases `start` waits. Errors are in the report, except
    StartupRefused for settings that do not fit.
    """
    try:
        async with _opened(settings) as world:
            return await _run(world, settings, action, _Filling(workers, join, on_progress, on_waiting))
    except (RebuildRefused, SourceRefused) as refusal:
        return RebuildReport(REFUSED, error=str(refusal))
    except (DependencyDown, ReadStoreNotReady) as down:
        return RebuildReport(DOWN, error=str(down))
    except NATS_ERRORS as error:
        return RebuildReport(DOWN, error=f"nats: {in_one_line(error)}")


@dataclass(frozen=True, slots=True)
class _World:
    generations: Generations
    rebuilds: Rebuilds
    #: That of the generation that readers see.
    freshness: Callable[[], Awaitable[Freshness | None]]


@dataclass(frozen=True, slots=True)
class _Filling:
    """How `start` fills, see `run_rebuild`."""

    workers: int
    join: bool
    on_progress: Callable[[RebuildStatus], None]
    on_waiting: Callable[[Sequence[str]], None]


async def _run(world: _World, settings: QuerySettings, action: str, filling: _Filling) -> RebuildReport:
    rebuilds = world.rebuilds
    comparison: Comparison | None = None
    match action:
        case "start":
            await _start(world, settings, filling)
        case "verify":
            readers = ReadersFirst(world.freshness, now, longest=LONGEST_REST_OF_COMPARISON_SECONDS)
            async with order_source(settings) as source:
                _, comparison = await rebuilds.verify(source, lambda store: _compared(store, source, readers))
        case "switch":
            await rebuilds.switch()
        case "rollback":
            await rebuilds.roll_back()
        case "finish":
            await rebuilds.finish()
        case "cancel":
            await rebuilds.cancel()
    status = await rebuilds.status()
    if status is None:
        return RebuildReport(DONE)
    fields = rebuild_fields(status)
    if comparison is None:
        return RebuildReport(DONE, fields)
    differences = [_difference(finding) for finding in comparison.findings[:MOST_NAMED]]
    fields |= {"compared_orders": comparison.orders, "differences": differences}
    if differences:
        return RebuildReport(REFUSED, fields, f"the new generation differs from the write side: {differences[0]}")
    return RebuildReport(DONE, fields)


async def _compared(store: CheckedStore, source: OrderSource, pace: Pace) -> Comparison:
    """Compares versions and hashes of all orders by digests, and of SAMPLE orders every field and entry."""
    compare = ReadModelComparison(store, source, partition_of, time.monotonic, patience=60.0, pace=pace)
    return await compare(SAMPLE)


def _difference(finding: Finding) -> str:
    return f"{finding.kind} {finding.order_id}: {finding.detail}"


async def _start(world: _World, settings: QuerySettings, filling: _Filling) -> None:
    process = process_name()
    async with order_source(settings) as source:
        rebuild = await world.rebuilds.start(source, process=process, join=filling.join, on_waiting=filling.on_waiting)
        if rebuild.phase is not Phase.FILLING:
            return  # it was filled before

        def progressed(rebuild: Rebuild) -> None:
            filling.on_progress(status_of(rebuild, rebuild.old, now()))

        store = open_read_store(settings, request_timeout=settings.write_timeout_seconds, generation=rebuild.new)
        filler = Filler(
            world.generations,
            source,
            store,
            lambda: BackoffPacer("filling"),
            process=process,
            stream=settings.stream,
            now=now,
            on_progress=progressed,
            pace=ReadersFirst(world.freshness, now),
        )
        try:
            await check_release(store, rebuild.new)
            progressed(await filler.run(filling.workers, rebuild.rebuild_id))
        finally:
            await store.close()


@contextlib.asynccontextmanager
async def _opened(settings: QuerySettings) -> AsyncIterator[_World]:
    store = open_read_store(settings, request_timeout=settings.write_timeout_seconds)
    try:
        generations = generations_of(store)
        async with nats_connection(settings, "tandem query rebuild", within=CONNECT_SECONDS) as client:
            tails = RebuildConsumers(client, consumer_plan(settings))
            timeout = settings.write_timeout_seconds
            rebuilds = Rebuilds(
                generations,
                tails,
                lambda generation: open_read_store(settings, request_timeout=timeout, generation=generation),
                now,
            )
            yield _World(generations, rebuilds, store.freshness)
    finally:
        await store.close()
