"""What every source of events must do, whatever its way of finding them: all, once, in the order of each aggregate.

A suite takes a source through a log that stands for the stream: it keeps each event with its cursor, and loses a random
part of what was read last whenever the reader crashes, as a real stream does.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg

from relay.events.cursor import Cursor, PollCursor, mark, parse
from relay.events.source import Source
from relay.outbox.database import connect
from tests.support.chance import tell
from tests.support.relay.writers import Ledger
from tests.support.waiting import eventually

OpenSource = Callable[[psycopg.AsyncConnection[Any]], Source]
#: Where a first life begins.
BEGINNING: Cursor = PollCursor(1)


class StoredLog:
    """Stands for the stream: events with the cursor behind each."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int]] = []
        self.cursor: str | None = None
        self.crashes = 0
        self.reads = 0
        self.nonempty = 0
        self.as_of: int | None = None
        self.reader: asyncio.Task[None] | None = None


@dataclass(frozen=True, slots=True)
class Quota:
    """What must have happened before a run may end, however slow the machine: a run without it has shown nothing."""

    events: int = 0
    crashes: int = 0
    rolled_back: int = 0
    held: int = 0

    async def reached(self, log: StoredLog, ledger: Ledger) -> None:
        """Returns when all of it has happened, or the reader has met its end; AssertionError after two minutes."""
        await eventually(
            lambda: (
                (log.reader is not None and log.reader.done())
                or (
                    len(log.events) >= self.events
                    and log.crashes >= self.crashes
                    and ledger.rolled_back >= self.rolled_back
                    and ledger.held >= self.held
                )
            ),
            f"{self}",
            120.0,
        )


ANY = Quota()
MOST_ATTEMPTS = 12
Shown = TypeVar("Shown")


async def until_shown(attempt: Callable[[], Awaitable[Shown]], fault: Callable[[Shown], bool]) -> Shown:
    """What the first attempt gave that has the fault. Mutants go wrong by chance; one that never does is a failure."""
    for number in range(1, MOST_ATTEMPTS + 1):
        shown = await attempt()
        tell(f"attempt {number}: {shown}")
        if fault(shown):
            return shown
    raise AssertionError(f"not shown in {MOST_ATTEMPTS} attempts, the last one gave {shown}")


@contextlib.asynccontextmanager
async def read_with_crashes(
    url: str,
    open_source: OpenSource,
    seed: int,
    *,
    crash_every: float,
    max_events: int = 200,
    beginning: Cursor = BEGINNING,
) -> AsyncIterator[StoredLog]:
    """Reads while the block runs, crashing now and then; at the end reads what is left and returns. What made the
    reader break off, if anything did, is raised there too."""
    log, chance, stop = StoredLog(), random.Random(seed), asyncio.Event()
    log.cursor = beginning.text
    task = asyncio.create_task(_life_after_life(url, open_source, log, chance, stop, crash_every, max_events))
    log.reader = task
    try:
        yield log
    finally:
        stop.set()
        await task


async def _life_after_life(
    url: str,
    open_source: OpenSource,
    log: StoredLog,
    chance: random.Random,
    stop: asyncio.Event,
    crash_every: float,
    max_events: int,
) -> None:
    while True:
        connection = await connect(url, "source under test", session_timeout=30)
        try:
            source = open_source(connection)
            try:
                assert log.cursor is not None
                await source.resume(parse(log.cursor))
                if await _one_life(source, log, chance, stop, chance.uniform(0, 2 * crash_every), max_events):
                    return
            finally:
                await source.close()
        finally:
            await connection.close()
        log.crashes += 1


async def _one_life(
    source: Source, log: StoredLog, chance: random.Random, stop: asyncio.Event, seconds: float, max_events: int
) -> bool:
    """True when everything has been read after the stop; False at a crash."""
    ends = time.monotonic() + seconds
    asked_at: float | None = None
    while True:
        stopping = stop.is_set()
        if stopping and asked_at is None:
            asked_at = time.time() * 1e6  # the database's clock is ours
        most = chance.randint(1, max_events)
        batch = await source.read(most, 1 << 20)
        assert len(batch.events) == len(batch.marks) <= most
        log.reads += 1
        log.nonempty += bool(batch.events)
        crash = not stopping and time.monotonic() > ends
        kept = chance.randint(0, len(batch.events)) if crash else len(batch.events)
        for event, at in list(zip(batch.events, batch.marks, strict=True))[:kept]:
            assert event.aggregate_id is not None
            assert event.aggregate_version is not None
            log.events.append((event.aggregate_id, event.aggregate_version))
            log.cursor = mark(batch.base, at)
        if log.cursor is not None:
            source.stored(parse(log.cursor))
        if crash:
            return False
        if batch.reached is not None:
            # A barrier: stored as a message of its own, so that the cursor moves without an event. Not each one is.
            if chance.random() < 0.5:
                log.cursor = batch.reached.cursor.text
            as_of = batch.reached.as_of
            if as_of is not None:
                assert log.as_of is None or as_of >= log.as_of
                log.as_of = as_of
            # A difference that was begun before a crash says no time when its rest is read: more may have come since.
            if asked_at is not None and not batch.events and as_of is not None and as_of >= asked_at:
                return True
        await asyncio.sleep(0 if batch.more else chance.choice((0, 0.001, source.idle_seconds())))
