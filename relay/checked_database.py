"""Checks each new leader session, and makes what depends on what the check has found."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from relay.config import RelaySettings
from relay.events.barrier import BarrierBuilder
from relay.events.cursor import Cursor, read_cursor
from relay.events.errors import LogUnavailable, Refused, SourceChanged
from relay.events.message import MessageBuilder, MessageLimits
from relay.events.snapshot import Snapshot
from relay.events.source import Source
from relay.outbox.adoption_record import AdoptionRecords
from relay.outbox.bookkeeping import ensure_tables
from relay.outbox.database import DatabaseConnection
from relay.outbox.message_builder import message_builder
from relay.outbox.publication import default_publication
from relay.outbox.rights import missing_to_read_log, publishing_needs, require_rights
from relay.outbox.source_identity import SourceIdentity, require_same_source
from relay.outbox.startup_checks import check_database
from relay.outbox.table import OutboxTable, TableName, find_table
from relay.parking.requests import ParkedRequests
from relay.publishing.status import RelayStatus
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


class CheckedDatabase:
    """Checks each new leader session, and makes what depends on what the check has found."""

    def __init__(self, settings: RelaySettings, status: RelayStatus) -> None:
        self._settings = settings
        self._status = status
        self._records = AdoptionRecords(TableName.parse(settings.table), settings.stream)
        self._found: tuple[OutboxTable, SourceIdentity] | None = None
        self._changed = False
        self._publication = ""
        self._layout: TupleLayout | None = None
        self._no_log: str | None = None
        self._warned: str | None = None
        self._source: SwitchingSource | None = None

    async def check(self, connection: DatabaseConnection) -> None:
        """Refused when this database must not be relayed from. Makes the tables that the relay keeps there."""
        table, identity = await self.inspect(connection)
        if self._layout is not None:
            await self._warn(connection)
        await ensure_tables(connection, table.name)
        table.floor = await self._records.floor(connection, identity.epoch)
        adoption = await self._records.latest(connection)
        self._status.adoption = adoption.as_dict() if adoption is not None else None
        self._found = table, identity

    async def inspect(self, connection: DatabaseConnection) -> tuple[OutboxTable, SourceIdentity]:
        """The outbox and whose events it holds; Refused as by `check`. Changes nothing."""
        settings = self._settings
        name = TableName.parse(settings.table)
        source = TableName.parse(settings.source_table)
        await check_database(connection, settings.database_url)
        self._publication = settings.publication or await default_publication(connection, name)
        for_log = await missing_to_read_log(connection, name, self._publication) if settings.mode == "wal" else ()
        await require_rights(connection, publishing_needs(name, source), for_log)
        try:
            identity = await require_same_source(connection, source)
        except SourceChanged:
            self._changed = True
            raise
        self._changed = False
        table = await find_table(connection, name, settings.columns)
        self._layout = await self._log_layout(connection, name)
        return table, identity

    async def _log_layout(self, connection: DatabaseConnection, name: TableName) -> TupleLayout | None:
        """How the table's rows stand in the log; None when they are not to be read from there."""
        if self._settings.mode == "poll":
            return None
        try:
            layout = await find_layout(connection, name, self._settings.columns)
            if self._settings.mode == "wal":
                await check_log(connection)
        except LogUnavailable as problem:
            if self._settings.mode == "wal":
                raise Refused(f"RELAY_MODE is wal, but the log cannot be read: {problem}") from None
            self._no_log = str(problem)
            return None
        return layout

    async def _warn(self, connection: DatabaseConnection) -> None:
        """Of what is no reason to refuse, once."""
        warning = await missing_limit(connection)
        if warning is not None and warning != self._warned:
            _log.warning("the log kept for the slot has no limit", reason=warning)
        self._warned = warning

    def _mode_is(self, mode: str, reason: str | None) -> None:
        self._status.mode, self._status.mode_reason = mode, reason

    def cursor(self, text: str | None) -> Cursor:
        """Where to go on, given the stream's last cursor; SourceChanged when it is of another epoch."""
        assert self._found is not None
        epoch = self._found[1].epoch
        cursor = read_cursor(text, epoch)
        if cursor.epoch != epoch:
            raise SourceChanged(
                f"the stream's events are of source epoch {cursor.epoch}, the database is of {epoch}:"
                " run `python -m relay adopt`, or use another stream"
            )
        return cursor

    def source(self, connection: DatabaseConnection) -> Source:
        """The source of the configured mode."""
        assert self._found is not None
        (table, identity), settings = self._found, self._settings
        publication, url = self._publication, settings.database_url
        prefix = slot_prefix(str(table.name), settings.stream)
        wal = WalSource(self._layout, connection, url, publication) if self._layout is not None else None
        slots = SlotMaker(url, prefix, publication, table.name, lambda reason: self._mode_is("poll", reason))
        self._source = SwitchingSource(
            poll=PollSource(table, connection, identity.epoch),
            wal=wal,
            slots=slots,
            cleanup=SlotCleanup(url, prefix),
            history=StreamHistory(nats_options(settings), settings.stream),
            on_mode=self._mode_is,
            why=self._no_log,
        )
        return self._source

    def requests(self, connection: DatabaseConnection) -> ParkedRequests:
        """Requests about parked aggregates."""
        assert self._found is not None
        stream = self._settings.stream
        history = StreamHistory(nats_options(self._settings), stream)
        return ParkedRequests(self._found[0], connection, history, stream)

    def comparable(self, cursor_epoch: int) -> bool:
        """Whether a cursor of that source epoch says anything about this database; 0 stands for an empty stream."""
        epochs = {0, self._found[1].epoch} if self._found is not None else {cursor_epoch}
        return not self._changed and cursor_epoch in epochs

    def covering(self) -> tuple[Snapshot, Sequence[int]] | None:
        """What this relay knows to be stored, as leader."""
        return self._source.covering() if self._source is not None else None

    def messages(self, publish_epoch: int, term: int, limits: MessageLimits) -> MessageBuilder:
        """The builder of events."""
        assert self._found is not None
        table, identity = self._found
        return message_builder(self._settings, table, identity.epoch, publish_epoch, term, limits)

    def barriers(self, publish_epoch: int, term: int) -> BarrierBuilder:
        """The builder of barriers."""
        return BarrierBuilder(self._settings.barrier_subject, publish_epoch=publish_epoch, term=term)
