"""Adopts a database that is not the one whose events the stream holds: restored, promoted with loss, or set back.

    stand still ─lock─> claim the stream ─> draw the line ─> compare ─> publish what is missing ─> new epoch's cursor

- *The line*: for a moment nobody writes to the outbox. The epoch is raised, and the highest position becomes the
  *floor*: rows up to it are told apart by event id only, as their transaction ids may be of another cluster.
- *Compare*: all events of the stream with all rows up to the floor, once, by event id.
- *Publish*: rows that the stream lacks, by position, with the same publishing loop that a relay runs: under the
  leader's lock, in a fenced session of a higher term, parked aggregates held back.
- *Name*: what the stream has and the source lost stays in the stream; it is counted and listed in `relay_adoption`.

Killed at any moment, it can be run again; relays stay stopped until it is through. How that is: `adoption.source`.
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

#: How long database and stream may be out of reach, or silent, before an adoption that has not begun gives up.
PATIENCE_SECONDS = 15.0
_LOOK_SECONDS = 0.1
#: How often one that waits for the lock looks whether another adoption was through before it.
_LOOK_AGAIN_SECONDS = 1.0


class Unreachable(Exception):  # noqa: N818 - read as the state it names
    """Database or stream cannot be reached. The message says which and why."""


class Adoption:
    """One run of `adopt`."""

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
        #: Whether something may have been changed.
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
        """Returns the record of the adoption, or None if `stop` was set before it was done.

        Raises NothingToAdopt; Refused when database or stream are unfit; Unreachable when either is. `tell` receives
        what delays it.
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
        """Whether the stream has acknowledged the new epoch's first cursor, the last message of an adoption."""
        return self._end is not None and ended.cursor == self._end

    async def _look(self) -> None:
        """Checks without waiting for the lock, which a healthy relay holds. Raises NothingToAdopt.

        Raises Unreachable also when there is no answer within the patience.
        """
        looking = asyncio.create_task(self._look_at_both())
        try:
            await asyncio.wait({looking}, timeout=self._patience)
            if not looking.done():
                raise Unreachable(f"{self._asked} has not answered for {self._patience:.2g} s")
            looking.result()
        finally:
            looking.cancel()  # and waits for no end: a statement to a server that hangs takes long to be given up

    async def _look_at_both(self) -> None:
        self._asked = f"the database {self._settings.database_name}"
        async with self._connected() as connection:
            found = await AdoptionCheck(self._settings, self._force).check(connection)
            self._asked = "NATS"
            try:
                async with stream_sink(self._settings, lambda flight: None).session() as session:
                    row = await self._state.load(connection)
                    found.cursor(resumption(row, session.tail).cursor)
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
        """Opens a session beside the leader's. Raises Unreachable when that fails or it breaks off."""
        try:
            async with await connect(self._settings.database_url, "tandem-relay adopt") as connection:
                yield connection
        except (psycopg.Error, OSError, TimeoutError) as error:
            raise Unreachable(f"the database cannot be reached: {in_one_line(error)}") from None
