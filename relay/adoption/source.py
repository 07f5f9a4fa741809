"""Delivers what an adoption publishes: the restored rows that the stream lacks, then the first cursor of the new epoch.

Until the stream has stored that cursor, every message carries the last cursor of the old source. So if the adoption is
interrupted, the stream's end still has the old epoch. A relay that reads it stays stopped. An adoption that is run
again compares again, and publishes what is still missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import psycopg
import structlog

from relay.adoption.comparison import StreamComparison
from relay.events.cursor import Cursor, PollCursor
from relay.events.errors import Refused
from relay.events.snapshot import Snapshot
from relay.events.source import Batch, Checkpoint, Mode
from relay.outbox.adoption_record import AdoptionRecords
from relay.outbox.database import DatabaseConnection
from relay.outbox.fetch_events import fetch_events
from relay.outbox.source_identity import SourceIdentity
from relay.outbox.table import OutboxTable, TableName
from relay.stream.history import StreamHistory

_log = structlog.get_logger(__name__)
#: How long the adoption waits for its lock on the outbox. New writers wait meanwhile.
LOCK_SECONDS = 10
#: This lock waits for transactions that have written, and makes new writers wait. It does not affect readers.
LOCK_MODE = "SHARE"


@dataclass(frozen=True, slots=True)
class Line:
    """The line between restored rows and rows of the new history.

    Rows up to the position `floor` are restored. All rows after it are not seen by `snapshot`. Everything committed
    before the time `as_of` (µs since 1970, database clock) is among the restored rows.
    """

    floor: int
    snapshot: Snapshot
    as_of: int


@dataclass(frozen=True, slots=True)
class _Work:
    """What an adoption publishes: the rows that `comparison` found missing, with the cursor `old`, and then `end`."""

    old: Cursor
    comparison: StreamComparison
    end: Checkpoint


class AdoptionSource:
    """Delivers the events of an adoption. Unlike other sources it comes to an end.

    `becomes` returns the identity to record, given the last cursor of the old source. `on_end` is called with the new
    epoch's first cursor when everything has been read.
    """

    mode = Mode("adopt")

    def __init__(
        self,
        *,
        table: OutboxTable,
        connection: DatabaseConnection,
        source_table: TableName,
        records: AdoptionRecords,
        history: StreamHistory,
        becomes: Callable[[Cursor], SourceIdentity],
        on_end: Callable[[Cursor], None],
    ) -> None:
        self._table = table
        self._connection = connection
        self._source_table = source_table
        self._records = records
        self._history = history
        self._becomes = becomes
        self._on_end = on_end
        self._work: _Work | None = None
        self._position = 0

    async def resume(self, cursor: Cursor) -> None:
        """Draws the line, compares outbox and stream, and prepares to read from the first missing row."""
        identity = self._becomes(cursor)
        self._position = 0
        old_floor = await self._records.floor(self._connection, cursor.epoch)
        line = await self._draw_line(identity)
        comparison = StreamComparison(self._table, self._connection, self._history, identity.epoch)
        content = await comparison.read_stream()
        await comparison.release_published()
        missing = await comparison.find_missing(line.floor, cursor, content, old_floor)
        lost = await comparison.find_lost()
        await self._records.found(
            self._connection,
            identity.epoch,
            published=content.adopted + missing,
            lost_events=lost.events,
            lost_aggregates=lost.aggregates,
            lost=lost.listed,
        )
        _log.info(
            "compared", floor=line.floor, stream_events=content.events, missing=missing, lost_by_the_source=lost.events
        )
        end = Checkpoint(PollCursor(identity.epoch, line.snapshot), line.as_of)
        self._work = _Work(cursor, comparison, end)

    async def read(self, max_events: int, max_bytes: int) -> Batch:
        """Returns the next missing rows. After the last of them, returns the first cursor of the new epoch."""
        assert self._work is not None
        old = self._work.old
        query = self._work.comparison.missing(self._position, max_events)
        events, _ = await fetch_events(self._connection, query, max_bytes)
        if events:
            self._position = events[-1].position
            return Batch(old.base, old, events, [old.mark] * len(events), old, None, more=True)
        end = self._work.end.cursor
        self._on_end(end)
        return Batch(end.base, end, (), (), end, self._work.end, more=False)

    def stored(self, cursor: Cursor) -> None:
        """Does nothing, because this source keeps nothing that could be released."""

    def idle_seconds(self) -> float:
        """Returns 0, because there is nothing to wait for."""
        return 0.0

    def notify(self, wake: Callable[[], None]) -> None:
        """Does nothing, because no rows arrive later."""

    def covering(self) -> None:
        """Returns None, because the cursor says exactly what is stored."""

    async def close(self) -> None:
        """Does nothing, because the temporary tables are dropped with the session."""

    async def _draw_line(self, identity: SourceIdentity) -> Line:
        """Raises the epoch and reads the floor, in one transaction during which nobody writes to the outbox.

        A writer locks the table before it allocates a position. So all rows up to the floor are committed. A
        transaction that is still open will write at positions after the floor, and the snapshot does not see it.
        """
        try:
            async with self._connection.transaction():
                await self._connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
                await self._connection.execute(f"LOCK TABLE {self._table.name.quoted} IN {LOCK_MODE} MODE")
                row = await (
                    await self._connection.execute(
                        f"SELECT coalesce(max({self._table.position}), 0),"  # noqa: S608
                        " pg_current_snapshot()::text, (extract(epoch FROM now()) * 1000000)::bigint"
                        f" FROM {self._table.name.quoted}"
                    )
                ).fetchone()
                assert row is not None
                line = Line(int(row[0]), Snapshot.parse(row[1]), int(row[2]))
                await self._table.require_sequence_behind(self._connection, line.floor)
                await self._record(identity, line)
        except psycopg.errors.LockNotAvailable:
            raise Refused(
                f"a transaction keeps the outbox locked for more than {LOCK_SECONDS} s: end it"
                " (pg_stat_activity, pg_prepared_xacts) and run `python -m relay adopt` again"
            ) from None
        except psycopg.errors.InsufficientPrivilege as error:
            raise Refused(
                f"adopting needs the rights of the owner of {self._table.name} and {self._source_table}"
                f" (RELAY_DATABASE_URL): {error.diag.message_primary}"
            ) from None
        return line

    async def _record(self, identity: SourceIdentity, line: Line) -> None:
        changed = await self._connection.execute(
            f"UPDATE {self._source_table.quoted} SET epoch = %s, system_identifier = %s, timeline = %s"  # noqa: S608
            " WHERE epoch <= %s",
            [identity.epoch, identity.system_identifier, identity.timeline, identity.epoch],
        )
        if changed.rowcount != 1:
            raise Refused("the source was adopted for another stream meanwhile: run `python -m relay adopt` again")
        await self._records.begin(self._connection, identity.epoch, line.floor)
