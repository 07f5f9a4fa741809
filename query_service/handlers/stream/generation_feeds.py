"""Feeds every generation of the read model that this release can feed, each by a projector of its own.

Usually there is one generation. During a rebuild there are two, and they may be of different releases: an older release
feeds the generation that it fits, and a newer release the other. What must be fed is looked up once a second.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from query_service.application.ports.errors import DependencyDown, ReadStoreNotReady
from query_service.application.rebuilding.machine import Feed
from query_service.handlers.nats_connection import NatsConnection
from query_service.handlers.stream.pacer import BackoffPacer
from query_service.handlers.stream.projector import Projector
from query_service.metrics import ProjectMetrics
from service_runtime.process import StartupRefused, cancel

_log = structlog.get_logger(__name__)
LOOK_SECONDS = 1.0
#: After this time a generation that could not be fed is tried again.
RETRY_SECONDS = 5.0
#: Why a generation is not fed.
_UNFIT = (ReadStoreNotReady, StartupRefused)


@dataclass(slots=True)
class _Running:
    projector: Projector
    task: asyncio.Task[None]


class GenerationFeeds:
    """Runs a projector for each generation. `wanted` returns the generations that must be fed.

    `open_projector` returns a projector, and what closes its store.
    """

    def __init__(
        self,
        wanted: Callable[[], Awaitable[Sequence[Feed]]],
        open_projector: Callable[[Feed], tuple[Projector, Callable[[], Awaitable[None]]]],
        metrics: ProjectMetrics,
    ) -> None:
        self._wanted, self._open, self._metrics = wanted, open_projector, metrics
        self._pacer = BackoffPacer("projection")
        self._running: dict[str, _Running] = {}
        self._passed_over: dict[str, float] = {}

    @property
    def paused(self) -> bool:
        """Whether any projector waits for store or stream."""
        waiting = (running.projector.paused for running in self._running.values())
        return self._pacer.reason is not None or any(waiting)

    def reason(self) -> str | None:
        """Returns why a generation is not fed that this release can feed; None when all are."""
        if self._pacer.reason is not None:
            return f"paused: {self._pacer.reason}"
        reasons = {name: running.projector.reason() for name, running in self._running.items()}
        named = [(name, reason) for name, reason in reasons.items() if reason is not None]
        if not reasons:
            return "starting"
        if len(reasons) == 1:
            return named[0][1] if named else None
        return "; ".join(f"generation {name}: {reason}" for name, reason in named) or None

    async def first(self) -> Sequence[Feed]:
        """Waits until the store answers, and returns what must be fed. Raises ReadStoreNotReady."""
        while True:
            try:
                feeds = await self._wanted()
            except DependencyDown as down:
                await self._pacer.pause(str(down))
            else:
                self._pacer.resume()
                return feeds

    async def run(self, connect: Callable[[], contextlib.AbstractAsyncContextManager[NatsConnection]]) -> None:
        """Feeds until cancelled. Raises ReadStoreNotReady or StartupRefused when no generation can be fed."""
        feeds = await self.first()
        async with connect() as client:
            try:
                while True:
                    await self._follow(feeds, client)
                    tasks = [running.task for running in self._running.values()]
                    await asyncio.wait(tasks, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                    with contextlib.suppress(DependencyDown):
                        feeds = await self._wanted()
            finally:
                await cancel(*(running.task for running in self._running.values()))

    async def _follow(self, feeds: Sequence[Feed], client: NatsConnection) -> None:
        wanted = {feed.generation: feed for feed in feeds}
        for generation, running in list(self._running.items()):
            if generation not in wanted:
                await self._end(generation, running)
            elif running.task.done():
                self._pass_over(generation, running)
            else:
                running.projector.feed = wanted[generation]
                if running.projector.reason() is None:
                    self._passed_over.pop(generation, None)
                    self._metrics.feeds(generation, True)
        for generation, feed in wanted.items():
            if generation not in self._running and not self._waits(generation):
                self._begin(feed, client)

    def _waits(self, generation: str) -> bool:
        return asyncio.get_running_loop().time() < self._passed_over.get(generation, 0.0)

    def _begin(self, feed: Feed, client: NatsConnection) -> None:
        projector, close = self._open(feed)

        async def work() -> None:
            try:
                await projector.work(client)
            finally:
                await close()

        self._running[feed.generation] = _Running(projector, asyncio.create_task(work()))

    async def _end(self, generation: str, running: _Running) -> None:
        """Ends the projector of a generation that no longer exists, which may have failed just because of that."""
        with contextlib.suppress(*_UNFIT):
            await cancel(running.task)
        del self._running[generation]
        self._metrics.gone(generation)
        _log.info("no longer projecting", generation=generation)

    def _pass_over(self, generation: str, running: _Running) -> None:
        """Passes a generation over for a while, and raises its error when no other generation is fed."""
        del self._running[generation]
        try:
            running.task.result()
        except _UNFIT as unfit:
            if not self._running:
                raise
            if generation not in self._passed_over:
                _log.warning("generation passed over", generation=generation, reason=str(unfit))
        self._passed_over[generation] = asyncio.get_running_loop().time() + RETRY_SECONDS
        self._metrics.feeds(generation, False)
