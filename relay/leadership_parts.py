"""Checks the database session of a leader, and builds the parts of its leadership from the result."""

from __future__ import annotations

from dataclasses import dataclass, replace

import structlog

from relay.config import RelaySettings
from relay.events.barrier import BarrierBuilder
from relay.events.cursor import Cursor, PollCursor
from relay.events.errors import LogUnavailable, Refused, SourceChanged
from relay.events.message import MessageBuilder, MessageLimits
from relay.events.parked_notice import ParkedNotices
from relay.events.source import Source
from relay.outbox.adoption_record import AdoptionRecord, AdoptionRecords
from relay.outbox.bookkeeping import ensure_tables
from relay.outbox.database import DatabaseConnection
from relay.outbox.message_builder import message_builder, parked_notices
from relay.outbox.publication import default_publication
from relay.outbox.rights import missing_to_read_log, publishing_needs, require_rights
from relay.outbox.source_identity import require_same_source
from relay.outbox.startup_checks import check_database
from relay.outbox.table import OutboxTable, TableName, find_table
from relay.parking.requests import ParkedRequests
from relay.sources.poll import PollSource
from relay.sources.switching import SwitchingSource
from relay.stream.access import nats_options
from relay.stream.history import StreamHistory
from relay.wal.slot import slot_prefix
from relay.wal.slot_cleanup import SlotCleanup
from relay.wal.slot_creation import check_log
from relay.wal.slot_maker import SlotMaker
from relay.wal.slot_watch import missing_limit
from relay.wal.source import WalSource
from relay.wal.tuple_decoder import TupleLayout, find_layout

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LeadershipParts:
    """What a check has found. It builds the parts of one leadership (`relay.publishing.loop.Wiring`).

    `layout` describes the table's rows in the log; None if the log is not read. `no_log` is the reason for that; None
    if the log is read, or the settings ask for polling. `adoption` is the last one; None if there never was one.
    """

    settings: RelaySettings
    table: OutboxTable
    source_epoch: int
    publication: str
    layout: TupleLayout | None
    no_log: str | None
    adoption: AdoptionRecord | None = None

    def cursor(self, found: Cursor | None, stream_epoch: int) -> Cursor:
        """Returns where to resume: the stream's last cursor, or the beginning if `found` is None.

        `stream_epoch` is what the stream's last message says; 0 if it says none. That counts too, because the base of
        its cursor may have aged out, or the message may be that of an unfinished adoption. Raises SourceChanged if one
        of the two epochs is not the database's.
        """
        cursor = found or PollCursor(self.source_epoch)
        for epoch in (stream_epoch or cursor.epoch, cursor.epoch):
            if epoch != self.source_epoch:
                raise SourceChanged(
                    f"the stream's events are of source epoch {epoch}, the database is of {self.source_epoch}:"
                    " run `python -m relay adopt`, or use another stream"
                )
        return cursor

    def source(self, connection: DatabaseConnection) -> Source:
        """Returns the source for the configured mode."""
        settings, url = self.settings, self.settings.database_url
        prefix = slot_prefix(str(self.table.name), settings.stream)
        return SwitchingSource(
            poll=PollSource(self.table, connection, self.source_epoch),
            wal=WalSource(self.layout, connection, url, self.publication) if self.layout is not None else None,
            slots=SlotMaker(url, prefix, self.publication, self.table.name),
            cleanup=SlotCleanup(url, prefix),
            history=StreamHistory(nats_options(settings), settings.stream),
            why=self.no_log,
        )

    def requests(self, connection: DatabaseConnection) -> ParkedRequests:
        """Returns the reader of operators' requests about parked aggregates."""
        stream = self.settings.stream
        history = StreamHistory(nats_options(self.settings), stream)
        return ParkedRequests(self.table, connection, history, stream)

    def messages(self, cursor: Cursor, publish_epoch: int, term: int, limits: MessageLimits) -> MessageBuilder:
        """Returns the builder of messages."""
        return message_builder(self.settings, self.table, cursor.epoch, publish_epoch, term, limits)

    def notices(self, cursor: Cursor, publish_epoch: int, term: int, limits: MessageLimits) -> ParkedNotices:
        """Returns the builder of the notices about parked events."""
        return parked_notices(self.settings, cursor.epoch, publish_epoch, term, limits)

    def barriers(self, cursor: Cursor, publish_epoch: int, term: int) -> BarrierBuilder:
        """Returns the builder of barriers."""
        return BarrierBuilder(self.settings.barrier_subject, publish_epoch=publish_epoch, term=term)


class LeadershipCheck:
    """Checks each new database session with which this relay wants to lead."""

    def __init__(self, settings: RelaySettings) -> None:
        self._settings = settings
        self._records = AdoptionRecords(TableName.parse(settings.table), settings.stream)
        self._warned: str | None = None

    async def check(self, connection: DatabaseConnection) -> LeadershipParts:
        """Creates the missing tables of the relay, and returns the parts of a leadership.

        Raises Refused if the relay must not publish from this database.
        """
        found = await inspect(self._settings, connection)
        if found.layout is not None:
            await self._warn(connection)
        await ensure_tables(connection, found.table.name)
        found.table.floor = await self._records.floor(connection, found.source_epoch)
        return replace(found, adoption=await self._records.latest(connection))

    async def _warn(self, connection: DatabaseConnection) -> None:
        """Logs once if the server keeps log for slots without a limit, which is no reason to refuse."""
        warning = await missing_limit(connection)
        if warning is not None and warning != self._warned:
            _log.warning("the log kept for the slot has no limit", reason=warning)
        self._warned = warning


async def inspect(settings: RelaySettings, connection: DatabaseConnection) -> LeadershipParts:
    """Checks the database, and finds the outbox, its source epoch, and whether the log can be read. Changes nothing.

    Raises Refused if the relay must not publish from this database.
    """
    name, source = TableName.parse(settings.table), TableName.parse(settings.source_table)
    await check_database(connection, settings.database_url)
    publication = settings.publication or await default_publication(connection, name)
    for_log = await missing_to_read_log(connection, name, publication) if settings.mode == "wal" else ()
    await require_rights(connection, publishing_needs(name, source), for_log)
    identity = await require_same_source(connection, source)
    table = await find_table(connection, name, settings.columns)
    layout, no_log = await _log_layout(settings, connection, name)
    return LeadershipParts(settings, table, identity.epoch, publication, layout, no_log)


async def _log_layout(
    settings: RelaySettings, connection: DatabaseConnection, name: TableName
) -> tuple[TupleLayout | None, str | None]:
    """Returns the layout of the table's rows in the log; None and the reason if they cannot be read from the log.

    The reason is None if the settings ask for polling.
    """
    if settings.mode == "poll":
        return None, None
    try:
        layout = await find_layout(connection, name, settings.columns)
        if settings.mode == "wal":
            await check_log(connection)
    except LogUnavailable as problem:
        if settings.mode == "wal":
            raise Refused(f"RELAY_MODE is wal, but the log cannot be read: {problem}") from None
        return None, str(problem)
    return layout, None
