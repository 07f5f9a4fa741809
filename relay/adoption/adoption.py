"""Adopts a database that is not the one whose events the stream holds: one restored, promoted with loss, or set back.

    wait ─lock─> claim the stream ─> draw the line ─> compare ─> publish what is missing ─> new epoch's cursor

- *Draw the line*: for a moment nobody can write to the outbox. The adoption raises the epoch, and records the highest
  position as the *floor*. Rows up to the floor are compared by event id only, because their transaction ids may be
  those of another cluster.
- *Compare*: it compares all events of the stream with all rows up to the floor, once, by event id.
- *Publish*: it publishes the rows that the stream lacks, in the order of their positions. It uses the publish loop of a
  relay: under the leader's lock, in a fenced session of a higher term, without the events of parked aggregates.
- *Record*: events that the stream has and the source has lost stay in the stream. They are counted and listed in
  `relay_adoption`.

If an adoption is killed at any moment, it can be run again. Relays stay stopped until an adoption is complete.
`adoption.source` explains why.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import psycopg

from relay.adoption.parts import AdoptionCheck, NothingToAdopt
from relay.adoption.progress import AdoptionProgress
from relay.config import RelaySettings
from relay.events.cursor import Cursor
from relay.events.errors import SessionClosed
from relay.outbox.adoption_record import AdoptionRecord, AdoptionRecords
from relay.outbox.database import DatabaseConnection, connect
from relay.outbox.leadership import AdvisoryLock
from relay.outbox.table import TableName
from relay.parking.parked_aggregates import ParkedAggregates
from relay.publishing.loop import Ended, PublishLoop
from relay.publishing.state import RelayState, resumption
from relay.stream.access import stream_sink
from service_runtime.error_text import in_one_line
from service_runtime.process import cancel

#: An adoption that has not begun gives up if database or stream cannot be reached, or do not answer, for so long.
PATIENCE_SECONDS = 15.0
_LOOK_SECONDS = 0.1
#: How often an adoption that waits for the lock checks whether another adoption has done the work.
_LOOK_AGAIN_SECONDS = 1.0


class Unreachable(Exception):  # noqa: N818 - read as the state it names
    """The database or the stream cannot be reached. The message says which and why."""


class Adoption:
    """Runs one adoption.

    It gives up if database or stream cannot be reached for `patience_seconds` before it has begun. With `force` it
    adopts although nothing shows that the source changed.
    """

    def __init__(
        self, settings: RelaySettings, *, force: bool = False, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._settings = settings
        self._force = force
        self._patience = patience_seconds
        self._name = TableName.parse(settings.table)
        self._end: Cursor | None = None
        self._asked = ""
        self._stop = asyncio.Event()
        self._progress = AdoptionProgress()
        #: Whether the adoption may have changed stream or database.
        self._begun = False
        self._records = AdoptionRecords(self._name, settings.stream)
        self._state = RelayState(self._name, settings.stream)
        lock = AdvisoryLock(
            settings.database_url,
            table=str(self._name),
            stream=settings.stream,
            check=AdoptionCheck(settings, force, self._begin, self._read_to_the_end).check,
        )
        self._loop = PublishLoop(
            mode="adopt",
            leadership=lock,
            sink=stream_sink(settings, lambda flight: None),
            state=self._state,
            parked=ParkedAggregates(self._name),
            observer=self._progress,
        )

    async def run(self, stop: asyncio.Event, tell: Callable[[str], None]) -> AdoptionRecord | None:
        """Runs the adoption and returns its record; None if `stop` was set before it was complete.

        `tell` is called with a sentence about each thing that delays the adoption. Raises NothingToAdopt, Refused if
        database or stream are unfit, Unreachable if one of them cannot be reached.
        """
        await self._look()
        while not stop.is_set():
            self._stop = asyncio.Event()
            self._end = None
            try:
                ended = await self._run_once(stop, tell)
            except NothingToAdopt:
                if not self._begun:
                    raise
                return await self._record()  # the last message was stored, but its ack came too late
            if self._is_through(ended):
                return await self._record()
        return None

    def _is_through(self, ended: Ended) -> bool:
        """Returns whether the stream has acknowledged the last message, which has the new epoch's first cursor."""
        return self._end is not None and ended.cursor == self._end

    async def _look(self) -> None:
        """Checks database and stream without waiting for the lock, which a healthy relay holds.

        Raises NothingToAdopt, Refused, or Unreachable, also if there is no answer within the patience.
        """
        looking = asyncio.create_task(self._look_at_both())
        try:
            await asyncio.wait({looking}, timeout=self._patience)
            if not looking.done():
                raise Unreachable(f"{self._asked} has not answered for {self._patience:.2g} s")
            looking.result()
        finally:
            looking.cancel()  # without waiting for its end, which takes long if a server hangs

    async def _look_at_both(self) -> None:
        self._asked = f"the database {self._settings.database_name}"
        async with self._connected() as connection:
            found = await AdoptionCheck(self._settings, self._force).check(connection)
            self._asked = "NATS"
            try:
                async with stream_sink(self._settings, lambda flight: None).session() as session:
                    row = await self._state.load(connection)
                    found.cursor(resumption(row, session.tail).cursor, session.tail.epoch)
            except SessionClosed as closed:
                raise Unreachable(closed.reason) from None

    async def _run_once(self, stop: asyncio.Event, tell: Callable[[str], None]) -> Ended:
        self._progress.begins()
        task = asyncio.create_task(self._loop.run(self._stop))
        clock = asyncio.get_running_loop().time
        told, late, look_again = "", clock() + self._patience, clock() + _LOOK_AGAIN_SECONDS
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=_LOOK_SECONDS)
                if stop.is_set():
                    self._stop.set()
                waits_for = self._progress.obstacle
                if waits_for and waits_for != told:
                    tell(waits_for)
                    told = waits_for
                if self._progress.unreachable and not self._begun and clock() > late:
                    raise Unreachable(self._progress.unreachable)
                if self._progress.waiting_for_lock and clock() > look_again:
                    try:
                        await self._look()
                        late = clock() + self._patience
                    except Unreachable:
                        if clock() > late:
                            raise
                    look_again = clock() + _LOOK_AGAIN_SECONDS
            return await task
        finally:
            if not task.done():
                await cancel(task)

    def _begin(self) -> None:
        self._begun = True

    def _read_to_the_end(self, end: Cursor) -> None:
        self._end = end
        self._stop.set()

    async def _record(self) -> AdoptionRecord | None:
        async with self._connected() as connection:
            return await self._records.latest(connection)

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[DatabaseConnection]:
        """Opens a second session besides the leader's. Raises Unreachable if that fails or the session breaks."""
        try:
            async with await connect(self._settings.database_url, "tandem-relay adopt") as connection:
                yield connection
        except (psycopg.Error, OSError, TimeoutError) as error:
            raise Unreachable(f"the database cannot be reached: {in_one_line(error)}") from None
