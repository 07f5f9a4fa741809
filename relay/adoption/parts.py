"""Checks the database that is to be adopted, and builds the parts that the publish loop needs for the adoption."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from relay.adoption.source import AdoptionSource
from relay.config import RelaySettings
from relay.events.barrier import ADOPTING_HEADER, BarrierBuilder
from relay.events.cursor import Cursor, PollCursor
from relay.events.errors import Refused
from relay.events.message import MessageBuilder, MessageLimits
from relay.events.parked_notice import ParkedNotices
from relay.events.source import Source
from relay.outbox.adoption_record import AdoptionRecords
from relay.outbox.bookkeeping import ensure_tables
from relay.outbox.database import DatabaseConnection
from relay.outbox.message_builder import message_builder, parked_notices
from relay.outbox.rights import adopting_needs, missing_to_compare, require_rights
from relay.outbox.source_identity import SourceIdentity, primary_cluster, recorded_source
from relay.outbox.startup_checks import check_database
from relay.outbox.table import OutboxTable, TableName, find_table
from relay.stream.access import nats_options
from relay.stream.history import StreamHistory

SOURCE_DDL = (
    "CREATE TABLE %(table)s (epoch bigint NOT NULL, system_identifier text NOT NULL, timeline integer NOT NULL);"
    " INSERT INTO %(table)s VALUES (1, '', 0)"
)


class NothingToAdopt(Exception):  # noqa: N818 - read as the state it names
    """Nothing is to be adopted, because the stream holds the events of this database."""


def epoch_to_adopt(
    recorded: SourceIdentity, cluster: tuple[str, int], stream_epoch: int, *, force: bool = False
) -> int | None:
    """Returns the source epoch that an adoption gives to the database; None if there is nothing to adopt.

    `recorded` is the source on record, `cluster` is what the database really is. `stream_epoch` is the epoch of the
    stream's last cursor. With `force`, a database is adopted although nothing shows that it changed.
    """
    if recorded.cluster != cluster or stream_epoch > recorded.epoch:
        return max(recorded.epoch, stream_epoch) + 1
    if stream_epoch < recorded.epoch:
        return recorded.epoch  # completes an interrupted adoption, or follows one for another stream of this database
    return recorded.epoch + 1 if force else None


@dataclass(slots=True)
class AdoptionParts:
    """What the check has found. It builds the parts of an adoption (`relay.publishing.loop.Wiring`).

    `recorded` is the source on record; `cluster` is system identifier and timeline of the database. `on_begin` is
    called before stream or database are changed, `on_end` with the last cursor when everything has been read.
    """

    settings: RelaySettings
    table: OutboxTable
    recorded: SourceIdentity
    cluster: tuple[str, int]
    force: bool
    on_begin: Callable[[], None]
    on_end: Callable[[Cursor], None]
    _given: int = 0

    @property
    def source_epoch(self) -> int:
        """The source epoch on record, which the adoption may raise."""
        return self.recorded.epoch

    @property
    def adoption(self) -> None:
        """None, because an adoption shows no earlier adoption."""

    def cursor(self, found: Cursor | None, stream_epoch: int) -> Cursor:
        """Returns the last cursor of the old source. Raises NothingToAdopt if it is a cursor of this database.

        If `stream_epoch`, which is what the stream's last message says, is one that the database has not come to, then
        the cursor gets it. So the adoption gives a higher one, and the stream shows it even if the adoption is
        interrupted before the database does. What an earlier session of this leadership said does not count.
        """
        cursor = found or PollCursor(stream_epoch or self.recorded.epoch)
        if max(self.recorded.epoch, cursor.epoch) < stream_epoch != self._given:
            cursor = replace(cursor, epoch=stream_epoch)
        self._given = self._becomes(cursor).epoch
        return cursor

    def source(self, connection: DatabaseConnection) -> Source:
        """Returns the source of the rows that the stream lacks."""
        return AdoptionSource(
            table=self.table,
            connection=connection,
            source_table=TableName.parse(self.settings.source_table),
            records=AdoptionRecords(self.table.name, self.settings.stream),
            history=StreamHistory(nats_options(self.settings), self.settings.stream),
            becomes=self._becomes,
            on_end=self.on_end,
        )

    def requests(self, connection: DatabaseConnection) -> None:
        """Returns None: an adoption executes no requests. They wait for a relay."""

    def messages(self, cursor: Cursor, publish_epoch: int, term: int, limits: MessageLimits) -> MessageBuilder:
        """Returns the builder of messages, which have the new epoch. Calls `on_begin`."""
        self.on_begin()
        return message_builder(self.settings, self.table, self._becomes(cursor).epoch, publish_epoch, term, limits)

    def notices(self, cursor: Cursor, publish_epoch: int, term: int, limits: MessageLimits) -> ParkedNotices:
        """Returns the builder of the notices about parked events, which have the new epoch."""
        return parked_notices(self.settings, self._becomes(cursor).epoch, publish_epoch, term, limits)

    def barriers(self, cursor: Cursor, publish_epoch: int, term: int) -> BarrierBuilder:
        """Returns the builder of barriers, which also name the new epoch: no other adoption may give it again."""
        lines = f"{ADOPTING_HEADER}: {self._becomes(cursor).epoch}\r\n"
        return BarrierBuilder(self.settings.barrier_subject, publish_epoch=publish_epoch, term=term, lines=lines)

    def _becomes(self, old: Cursor) -> SourceIdentity:
        """Returns the identity that the adoption will record, if the stream ends at `old`. Raises NothingToAdopt."""
        epoch = epoch_to_adopt(self.recorded, self.cluster, old.epoch, force=self.force)
        if epoch is None:
            raise NothingToAdopt
        return SourceIdentity(epoch, *self.cluster)


class AdoptionCheck:
    """Checks sessions on the database that is to be adopted. For `on_begin` and `on_end` see `AdoptionParts`."""

    def __init__(
        self,
        settings: RelaySettings,
        force: bool,
        on_begin: Callable[[], None] = lambda: None,
        on_end: Callable[[Cursor], None] = lambda end: None,
    ) -> None:
        self._settings = settings
        self._force = force
        self._on_begin = on_begin
        self._on_end = on_end

    async def check(self, connection: DatabaseConnection) -> AdoptionParts:
        """Creates the missing tables of the relay, and returns the parts of an adoption.

        Raises Refused if no relay could publish from this database, whichever cluster it is.
        """
        settings = self._settings
        name, source_table = TableName.parse(settings.table), TableName.parse(settings.source_table)
        await check_database(connection, settings.database_url)
        await require_rights(connection, adopting_needs(name, source_table), await missing_to_compare(connection))
        cluster = await primary_cluster(connection)
        recorded = await recorded_source(connection, source_table)
        if recorded is None:
            raise Refused(
                f"table {source_table} does not exist, so nothing could tell the new history from the old one:"
                f" create it, with one row: {SOURCE_DDL % {'table': source_table}}"
            )
        table = await find_table(connection, name, settings.columns)
        await ensure_tables(connection, name)
        await AdoptionRecords(name, settings.stream).prepare(connection)
        return AdoptionParts(settings, table, recorded, cluster, self._force, self._on_begin, self._on_end)
