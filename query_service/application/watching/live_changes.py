"""Follows the stream for all watchers of this process, from the first watcher until the last one has left."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import structlog

from query_service.application.freshness.notice_board import NoticeBoard, Wake
from query_service.application.freshness.parked_orders import ParkedOrders
from query_service.application.ports.change_stream import ChangeStream, StreamBounds
from query_service.application.ports.errors import DependencyDown, ReadStoreNotReady
from query_service.application.ports.read_store import OrderReader
from query_service.application.watching.change import Change, is_readable, read_message
from query_service.application.watching.fan_out import KEPT, Encode, FanOut
from query_service.application.watching.front import AT_ONCE, Front
from query_service.application.watching.settled import Settled

_log = structlog.get_logger(__name__)
#: After so many seconds without a notice the store is asked again: for the next change, and for what is set aside.
RECHECK_SECONDS, ASIDE_SECONDS = 0.25, 1.0
#: The pause after the store did not answer.
RETRY_SECONDS = 0.5
#: How often, and for how long, the front waits for watchers with much to send.
MOMENTS, MOMENT_SECONDS = 10, 0.01
#: How long the first watchers wait until the changes that were readable before they came have passed.
READY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Sources:
    """What changes are read from. `board` wakes on notices; `encode`: see FanOut."""

    reader: OrderReader
    stream: ChangeStream
    board: NoticeBoard
    parked: ParkedOrders
    encode: Encode
    clock: Callable[[], float]
    #: See FanOut. No more than fit into the buffer of a watcher that joins.
    kept: int = KEPT


class LiveChanges:
    """Shares one run of the stream among all watchers that are here at the same time."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._run: _Run | None = None
        self._watchers = 0

    @contextlib.asynccontextmanager
    async def joined(self) -> AsyncIterator[FanOut]:
        """Yields the fan-out, which works until the end of the block. Raises DependencyDown and ReadStoreNotReady."""
        self._watchers += 1
        try:
            if self._run is None or self._run.over:
                self._run = _Run(self._sources)
            yield await self._run.ready()
        finally:
            self._watchers -= 1
            if not self._watchers and self._run is not None:
                run, self._run = self._run, None
                await run.stop()


class _Run:
    """One run of the stream. When it fails, it ends its watchers with the error."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._ready: asyncio.Future[FanOut] = asyncio.get_running_loop().create_future()
        self._wake = Wake()
        self._room = asyncio.Event()
        self._received = 0
        self._task = asyncio.create_task(self._follow())

    @property
    def over(self) -> bool:
        """Whether the run has failed."""
        return self._task.done()

    async def ready(self) -> FanOut:
        """Returns the fan-out once everything has passed that was readable at the start. Raises why it failed."""
        return await asyncio.shield(self._ready)

    async def stop(self) -> None:
        """Ends the run."""
        self._task.cancel()
        await asyncio.wait({self._task})
        self._ready.cancel()

    async def _follow(self) -> None:
        fan_out: FanOut | None = None
        try:
            bounds = await self._sources.stream.bounds()
            front, sources = await self._front(bounds), self._sources
            fan_out = FanOut(front, bounds.created_at, sources.encode, kept=sources.kept)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._receive(fan_out))
                tasks.create_task(self._advance(fan_out, bounds.last))
        except Exception as error:
            reason = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
            _log.warning("watching ended", reason=str(reason) or type(reason).__name__)
            if not self._ready.done():
                self._ready.set_exception(reason)
                self._ready.exception()  # so that asyncio does not miss a reader when all watchers have left
            if fan_out is not None:
                fan_out.end(reason)

    async def _front(self, bounds: StreamBounds) -> Front:
        """Returns a front at a place up to which everything is known to be readable or parked.

        It is a little before the last such place. So the changes in between are kept, and watchers of another process
        that was stopped just now join without reading the stream.
        """
        reader, known = self._sources.reader, await self._sources.reader.freshness()
        applied = known.sequence if known is not None and known.stream_created_at == bounds.created_at else 0
        position = min(max(applied - self._sources.kept, bounds.first - 1), bounds.last)
        aside = await self._parked_before(position, bounds)
        # Half of what a watcher can buffer: a watcher that keeps up is not ended because many changes pass at once.
        at_once = min(AT_ONCE, max(1, self._sources.kept // 2))
        settled = Settled(reader, bounds.created_at, self._sources.clock)
        return Front(reader.shown, self._sources.parked.includes, settled, position, aside, at_once=at_once)

    async def _parked_before(self, position: int, bounds: StreamBounds) -> list[Change]:
        """Returns the changes up to `position` that are parked, and that no later version has healed."""
        sources, found = self._sources, []
        for event in await sources.reader.parked_events():
            if event.order_id is None or event.sequence > position or not event.is_message_of(bounds.created_at):
                continue
            message = await sources.stream.message(event.sequence)
            change = None if message is None else read_message(message)
            if isinstance(change, Change):
                [shown] = await sources.reader.shown([change.order_id])
                if not is_readable(change, shown):
                    found.append(change)
        return found

    async def _receive(self, fan_out: FanOut) -> None:
        front, sources = fan_out.front, self._sources
        async with contextlib.aclosing(sources.stream.after(front.position, fan_out.stream_created_at)) as messages:
            async for message in messages:
                front.arrived(read_message(message))
                self._received = message.sequence
                if front.waiting == 1:
                    self._wake.ring()
                while front.is_full:
                    self._room.clear()
                    await self._room.wait()

    async def _advance(self, fan_out: FanOut, target: int) -> None:
        """Lets changes pass as they become readable. The run is ready when all up to `target` were looked at."""
        front, clock = fan_out.front, self._sources.clock
        started = clock()
        while True:
            with self._sources.board.waiting(front.awaited()) as wake:
                self._wake = wake
                received = self._received
                moved = await self._advanced(fan_out)
                if (
                    fan_out.position >= target
                    or (received >= target and not moved)
                    or clock() - started > READY_SECONDS
                ):
                    self._set_ready(fan_out)
                if not moved:
                    await wake.wait(RECHECK_SECONDS if front.waiting else ASIDE_SECONDS)

    async def _advanced(self, fan_out: FanOut) -> bool:
        """Publishes what has become readable. Returns whether anything has."""
        try:
            steps = await fan_out.front.advance()
        except (DependencyDown, ReadStoreNotReady) as down:
            _log.debug("changes not looked up", reason=str(down))
            await asyncio.sleep(RETRY_SECONDS)
            return False
        fan_out.erase(fan_out.front.redacted)
        fan_out.publish(steps)
        self._room.set()
        # After an outage many changes become readable at once. Watchers get a moment to send some before the next ones.
        for _ in range(MOMENTS):
            if not fan_out.is_crowded:
                break
            await asyncio.sleep(MOMENT_SECONDS)
        return bool(steps)

    def _set_ready(self, fan_out: FanOut) -> None:
        if not self._ready.done():
            self._ready.set_result(fan_out)
