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

from relay.adoption.progress import AdoptionProgress
from relay.adoption.source import AdoptionSource
from relay.config import RelaySettings
from relay.events.barrier import BarrierBuilder
from relay.events.cursor import Cursor, read_cursor
from relay.events.errors import Refused, SessionClosed, words
from relay.events.message import MessageBuilder, MessageLimits
from relay.events.source import Source
from relay.outbox.adoption_record import AdoptionRecord, AdoptionRecords
from relay.outbox.bookkeeping import ensure_tables
from relay.outbox.database import DatabaseConnection, connect
from relay.outbox.leadership import AdvisoryLock
from relay.outbox.message_builder import message_builder
from relay.outbox.rights import adopting_needs, missing_to_compare, require_rights
from relay.outbox.source_identity import SourceIdentity, primary_cluster, recorded_source
from relay.outbox.startup_checks import check_database
from relay.outbox.table import OutboxTable, TableName, find_table
from relay.parking.parked_aggregates import ParkedAggregates
from relay.publishing.loop import Ended, PublishLoop
from relay.publishing.state import RelayState, resumption
from relay.publishing.status import RelayStatus
from relay.stream.access import nats_options, stream_sink
from relay.stream.history import StreamHistory
from service_runtime.process import cancel

#: How long database and stream may be out of reach, or silent, before an adoption that has not begun gives up.
PATIENCE_SECONDS = 15.0
_LOOK_SECONDS = 0.1
#: How often one that waits for the lock looks whether another adoption was through before it.
_LOOK_AGAIN_SECONDS = 1.0
SOURCE_DDL = (
    "CREATE TABLE %(table)s (epoch bigint NOT NULL, system_identifier text NOT NULL, timeline integer NOT NULL);"
    " INSERT INTO %(table)s VALUES (1, '', 0)"
)


class NothingToAdopt(Exception):  # noqa: N818 - read as the state it names
    """The database is the one whose events the stream holds."""


class Unreachable(Exception):  # noqa: N818 - read as the state it names
    """Database or stream cannot be reached; the message says which and why."""


def epoch_to_adopt(
    recorded: SourceIdentity, cluster: tuple[str, int], stream_epoch: int, *, force: bool = False
) -> int | None:
    """The epoch that the source is to have; None when there is nothing to adopt. Pure."""
    if recorded.cluster != cluster or stream_epoch > recorded.epoch:
        return max(recorded.epoch, stream_epoch) + 1
    if stream_epoch < recorded.epoch:
        return recorded.epoch  # an adoption that was interrupted, or one for another stream of this database
    return recorded.epoch + 1 if force else None


class AdoptingDatabase:
    """Makes the parts of the publishing loop for an adoption (`relay.publishing.loop.Wiring`)."""

    def __init__(
        self,
        settings: RelaySettings,
        force: bool,
        on_end: Callable[[Cursor], None] = lambda end: None,
        on_lead: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._name = TableName.parse(settings.table)
        self._source_table = TableName.parse(settings.source_table)
        self._force = force
        self._on_end = on_end
        self._on_lead = on_lead
        self.records = AdoptionRecords(self._name, settings.stream)
        self.begun = False
        self._found: tuple[OutboxTable, SourceIdentity, tuple[str, int]] | None = None
        self._becomes: SourceIdentity | None = None

    async def check(self, connection: DatabaseConnection) -> None:
        """Refused when this database must not be relayed from, whoever it is."""
        await check_database(connection, self._settings.database_url)
        needs = adopting_needs(self._name, self._source_table)
        await require_rights(connection, needs, await missing_to_compare(connection))
        cluster = await primary_cluster(connection)
        recorded = await recorded_source(connection, self._source_table)
        if recorded is None:
            raise Refused(
                f"table {self._source_table} does not exist, so nothing could tell the new history from the old one:"
                f" create it, with one row: {SOURCE_DDL % {'table': self._source_table}}"
            )
        table = await find_table(connection, self._name, self._settings.columns)
        await ensure_tables(connection, self._name)
        await self.records.prepare(connection)
        self._found = table, recorded, cluster

    def cursor(self, text: str | None) -> Cursor:
        """The old source's last cursor. NothingToAdopt when the database is the one that it is of."""
        assert self._found is not None
        _, recorded, cluster = self._found
        cursor = read_cursor(text, recorded.epoch)
        epoch = epoch_to_adopt(recorded, cluster, cursor.epoch, force=self._force)
        if epoch is None:
            raise NothingToAdopt
        self._becomes = SourceIdentity(epoch, *cluster)
        return cursor

    def source(self, connection: DatabaseConnection) -> Source:
        """The rows that the stream lacks, for a leader."""
        assert self._found is not None
        self._on_lead()
        return AdoptionSource(
            table=self._found[0],
            connection=connection,
            source_table=self._source_table,
            records=self.records,
            history=StreamHistory(nats_options(self._settings), self._settings.stream),
            becomes=self._identity,
            on_end=self._on_end,
        )

    def requests(self, connection: DatabaseConnection) -> None:
        """They wait for a relay."""

    def messages(self, publish_epoch: int, term: int, limits: MessageLimits) -> MessageBuilder:
        """The builder of events, which are of the new epoch."""
        assert self._found is not None
        epoch = self._identity().epoch
        return message_builder(self._settings, self._found[0], epoch, publish_epoch, term, limits)

    def barriers(self, publish_epoch: int, term: int) -> BarrierBuilder:
        """The builder of barriers."""
        return BarrierBuilder(self._settings.barrier_subject, publish_epoch=publish_epoch, term=term)

    def _identity(self) -> SourceIdentity:
        assert self._becomes is not None
        self.begun = True
        return self._becomes


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
        self._database = AdoptingDatabase(settings, force, self._read_to_the_end, self._progress.leads)
        self._sink = stream_sink(settings, lambda flight: None)
        self._state = RelayState(self._name, settings.stream)
        lock = AdvisoryLock(
            settings.database_url,
            table=str(self._name),
            stream=settings.stream,
            check=self._database.check,
            on_wait=self._progress.waits_for_lock,
        )
        self._loop = PublishLoop(
            leadership=lock,
            sink=self._sink,
            wiring=self._database,
            state=self._state,
            parked=ParkedAggregates(self._name),
            status=RelayStatus("adopt"),  # nobody looks at it
            observer=self._progress,
        )

    async def run(self, stop: asyncio.Event, tell: Callable[[str], None]) -> AdoptionRecord | None:
        """The record of the adoption, or None when `stop` was set before it was through.

        NothingToAdopt; Refused when database or stream are unfit; Unreachable when either is. `tell` is given what
        keeps it waiting.
        """
        await self._look()
        while not stop.is_set():
            self._stop = asyncio.Event()
            self._end = None
            try:
                ended = await self._run_once(stop, tell)
            except NothingToAdopt:
                if not self._database.begun:
                    raise
                return await self._record()  # the last message was stored, but its ack came too late
            if self._is_through(ended):
                return await self._record()
        return None

    def _is_through(self, ended: Ended) -> bool:
        """Whether the stream has acknowledged the new epoch's first cursor, the last message of an adoption."""
        return self._end is not None and ended.cursor == self._end.text

    async def _look(self) -> None:
        """NothingToAdopt without waiting for the lock, which a healthy relay holds. Unreachable, for one, when there is
        no answer within the patience."""
        looking = asyncio.create_task(self._look_at_both())
        try:
            await asyncio.wait({looking}, timeout=self._patience)
            if not looking.done():
                raise Unreachable(f"{self._asked} has not answered for {self._patience:.2g} s")
            looking.result()
        finally:
            looking.cancel()  # and waits for no end: a statement to a server that hangs takes long to be given up

    async def _look_at_both(self) -> None:
        database = AdoptingDatabase(self._settings, self._force)
        self._asked = f"the database {self._settings.database_name}"
        async with self._connected() as connection:
            await database.check(connection)
            self._asked = "NATS"
            try:
                async with stream_sink(self._settings, lambda flight: None).session() as session:
                    row = await self._state.load(connection)
                    database.cursor(resumption(row, session.tail).cursor)
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
                if self._progress.unreachable and not self._database.begun and clock() > late:
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

    def _read_to_the_end(self, end: Cursor) -> None:
        self._end = end
        self._stop.set()

    async def _record(self) -> AdoptionRecord | None:
        async with self._connected() as connection:
            return await self._database.records.latest(connection)

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[DatabaseConnection]:
        """A session beside the leader's. Unreachable when there is none to be had, or it breaks off."""
        try:
            async with await connect(self._settings.database_url, "tandem-relay adopt") as connection:
                yield connection
        except (psycopg.Error, OSError, TimeoutError) as error:
            raise Unreachable(f"the database cannot be reached: {words(error)}") from None
