"""Fills a new generation from the write side's exports, with several workers.

A worker takes a range of order ids, reads the journals of its orders page by page, projects every event as a projector
does, and writes the documents. Events that arrive meanwhile come to the new generation from its own consumer. It does
not matter which of the two writes first, because the external version decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from query_service.application.comparing.pace import FullPace, Pace
from query_service.application.ports.errors import DependencyDown, ReadStoreNotReady
from query_service.application.ports.generations import Generations, Part, Phase, Rebuild
from query_service.application.ports.order_source import JournalPage, OrderSelection, OrderSource
from query_service.application.ports.read_store import Deferred, ParkedEvent, ProjectionWriter, Refused
from query_service.application.projecting.project_events import Pacer
from query_service.application.rebuilding.leases import claimed, reported
from query_service.application.rebuilding.stored_state import change, check_same
from query_service.projection.errors import ProjectionError
from query_service.projection.project import ProjectedEvent, project
from query_service.projection.recorded_event import RecordedEvent, stream_event

#: How often the workers' progress is stored, and how often a worker without a range looks for one, in seconds.
REPORT_SECONDS = 1.0


class Filler:
    """Fills the new generation with `workers` workers of one process, named after `process`.

    `store` is the new generation. `pacer` returns what a worker waits with while store or source are down. `now`
    returns microseconds since 1970. `on_progress` gets the rebuild after each report. Workers rest by `pace` after each
    page.
    """

    def __init__(
        self,
        generations: Generations,
        source: OrderSource,
        store: ProjectionWriter,
        pacer: Callable[[], Pacer],
        *,
        process: str,
        stream: str,
        now: Callable[[], int],
        on_progress: Callable[[Rebuild], None] = lambda rebuild: None,
        pace: Pace | None = None,
    ) -> None:
        self._generations, self._source, self._store, self._pacer = generations, source, store, pacer
        self._process, self._stream, self._now = process, stream, now
        self._on_progress, self._pace = on_progress, pace or FullPace()
        self._rebuild_id = ""
        self._progress: dict[int, Part] = {}
        self._problems: dict[str, str] = {}
        self._stored: Rebuild | None = None

    async def run(self, workers: int, rebuild_id: str) -> Rebuild:
        """Fills until every range is filled, here or by other processes. Returns the rebuild, which catches up now.

        Raises RebuildRefused when the rebuild is cancelled meanwhile, or another one is started, and ReadStoreNotReady.
        """
        self._rebuild_id = rebuild_id
        names = [f"{self._process}/{number}" for number in range(1, workers + 1)]
        reporting: asyncio.Future[Any] = asyncio.ensure_future(self._report_forever())
        working: asyncio.Future[Any] = asyncio.gather(*map(self._work, names))
        try:
            await asyncio.wait({reporting, working}, return_when=asyncio.FIRST_COMPLETED)
            for ended in (reporting, working):
                if ended.done():
                    ended.result()
        finally:
            for task in (reporting, working):
                task.cancel()
            await asyncio.gather(reporting, working, return_exceptions=True)
        filled = (await self._generations.rebuild()).rebuild
        assert filled is not None
        check_same(filled, rebuild_id)
        await self._generations.settle(filled.new)
        return await change(self._generations, rebuild_id, self._filled)

    def _filled(self, rebuild: Rebuild) -> Rebuild:
        if rebuild.phase is not Phase.FILLING:
            return rebuild  # another process came first
        return replace(rebuild, phase=Phase.CATCHING_UP, filled_at=self._now(), problem="")

    async def _work(self, worker: str) -> None:
        pacer = self._pacer()
        while True:
            try:
                number, rebuild = await self._claim(worker)
                if number is not None:
                    await self._fill(number, worker)
                elif all(part.done for part in rebuild.parts):
                    return
                else:
                    await asyncio.sleep(REPORT_SECONDS)
            except DependencyDown as down:
                await self._pause(worker, pacer, str(down))
            except ReadStoreNotReady:
                await self._report()  # says that the rebuild was cancelled, if that is why
                raise
            else:
                self._resume(worker, pacer)

    async def _claim(self, worker: str) -> tuple[int | None, Rebuild]:
        number: int | None = None

        def one(rebuild: Rebuild) -> Rebuild:
            nonlocal number
            after, number = claimed(rebuild, worker, self._now())
            return after

        rebuild = await change(self._generations, self._rebuild_id, one)
        self._stored = rebuild
        if number is not None:
            self._progress[number] = rebuild.parts[number]
        return number, rebuild

    async def _fill(self, number: int, worker: str) -> None:
        """Fills a range, until it is filled or belongs to another worker."""
        part, pacer = self._progress[number], self._pacer()
        async for page in self._source.journals(OrderSelection(after=part.done_until, until=part.until)):
            parked = await self._write(page, worker, pacer)
            if (part := self._progress.get(number, Part())).worker != worker:
                return
            events = sum(len(journal.events) for journal in page.journals)
            part = self._progress[number] = replace(
                part,
                done_until=page.last_order_id or part.done_until,
                orders=part.orders + len(page.journals),
                events=part.events + events,
                parked=part.parked + parked,
            )
            await self._pace.rest()
        self._progress[number] = replace(part, done=True)
        await self._report()

    async def _write(self, page: JournalPage, worker: str, pacer: Pacer) -> int:
        """Writes a page's documents. Retries until they are stored or parked. Returns how many events are parked."""
        parked = 0
        orders: list[list[ProjectedEvent]] = []
        for journal in page.journals:
            events: list[ProjectedEvent] = []
            for event in journal.events:
                try:
                    events.append(project(stream_event(event, page.source_epoch)))
                except ProjectionError as error:
                    await self._park(event, error)
                    parked += 1
            orders.append(events)
            await asyncio.sleep(0)  # let the other workers send and receive
        recorded = {(event.order_id, event.version): event for journal in page.journals for event in journal.events}
        return parked + await self._store_or_park(orders, recorded, worker, pacer)

    async def _store_or_park(
        self,
        orders: list[list[ProjectedEvent]],
        recorded: Mapping[tuple[str, int], RecordedEvent],
        worker: str,
        pacer: Pacer,
    ) -> int:
        parked = 0
        while orders:
            left: list[list[ProjectedEvent]] = []
            cause = ""
            outcomes = iter(await self._store.fill(orders))
            for events in orders:
                stored: list[ProjectedEvent] = []
                for one in events:
                    match next(outcomes):
                        case Refused(reason, detail):
                            await self._park(recorded[one.order_id, one.version], ProjectionError(reason, detail))
                            parked += 1
                        case Deferred(why):
                            left.append([one])
                            cause = cause or why
                        case _:
                            stored.append(one)
                if stored and stored[-1] is not events[-1]:
                    left.append(stored[-1:])  # the order's document is made of the last event that the store takes
            orders = left
            if cause:
                await self._pause(worker, pacer, cause)
            else:
                self._resume(worker, pacer)
        return parked

    async def _park(self, event: RecordedEvent, error: ProjectionError) -> None:
        """Parks an event that cannot be projected, unless a projector has parked it already."""
        known = await self._store.parked(event.order_id)
        if any(parked.version == event.version for parked in known):
            return
        await self._store.park(
            ParkedEvent(
                order_id=event.order_id,
                version=event.version,
                event_id=event.event_id,
                event_type=event.event_type,
                stream=self._stream,
                sequence=0,  # it came from an export; a retry finds no message
                stored_at=0,
                parked_at=self._now(),
                reason=error.reason,
                detail=error.detail,
            )
        )

    async def _pause(self, worker: str, pacer: Pacer, reason: str) -> None:
        self._problems[worker] = reason
        await pacer.pause(reason)

    def _resume(self, worker: str, pacer: Pacer) -> None:
        self._problems.pop(worker, None)
        pacer.resume()

    async def _report_forever(self) -> None:
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            try:
                await self._report()
            except DependencyDown as down:
                self._problems[""] = str(down)
                if self._stored is not None:  # with a full disk it can be told, and not stored
                    self._on_progress(replace(self._stored, problem=str(down)))
            else:
                self._problems.pop("", None)

    async def _report(self) -> None:
        """Stores the progress of this process, and forgets ranges that are filled or belong to another worker."""
        problem = next(iter(self._problems.values()), "")

        def with_progress(rebuild: Rebuild) -> Rebuild:
            return replace(reported(rebuild, self._progress, self._now()), problem=problem)

        rebuild = await change(self._generations, self._rebuild_id, with_progress)
        for number, part in list(self._progress.items()):
            if rebuild.parts[number].done or rebuild.parts[number].worker != part.worker:
                del self._progress[number]
        self._stored = rebuild
        self._on_progress(rebuild)
