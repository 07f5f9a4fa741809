"""Delivers what an adoption publishes: the restored rows that the stream lacks, then the first cursor of the new epoch.

Until that cursor is stored, every message carries the old source's last one. So whoever reads the stream's end before
then, a relay or an adoption begun again, finds a stream of the old epoch: a relay stays stopped, an adoption compares
anew and goes on with what is still missing.
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
#: How long writers may be made to wait for the moment that divides restored rows from new ones.
LOCK_SECONDS = 10
#: Readers go on; whoever has written is waited for, whoever wants to write waits.
LOCK_MODE = "SHARE"


@dataclass(frozen=True, slots=True)
class Line:
    """Where the new history begins: rows up to `floor` are restored ones, all others are not seen by `snapshot`.

    `as_of` (µs, database clock): everything committed before it is among the former.
    """

    floor: int
    snapshot: Snapshot
    as_of: int


@dataclass(frozen=True, slots=True)
class _Work:
    """What is to be published after the cursor `old`: the rows that `comparison` has found missing, then `end`."""

    old: Cursor
    comparison: StreamComparison
    end: Checkpoint


class AdoptionSource:
    """A source that ends. `becomes`: the identity that is to be recorded, given the old
    source's last cursor; `on_end` is told when all has been read."""

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
        """Draws the line, compares outbox and stream, and goes to the first missing row."""
        identity = self._becomes(cursor)
        self._position = 0
        old_floor = await self._records.floor(self._connection, cursor.epoch)
        line = await self._draw_line(identity)
        comparison = StreamComparison(self._table, self._connection, self._history, identity.epoch)
        content = await comparison.read_stream()
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
        """Returns the next missing rows; after the last of them the new epoch's first cursor, once."""
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
        """Does nothing: there is nothing to release."""

    def idle_seconds(self) -> float:
        """Nothing to wait for."""
        return 0.0

    def notify(self, wake: Callable[[], None]) -> None:
        """Does nothing: no rows arrive."""

    def covering(self) -> None:
        """None: the cursor says everything."""

    async def close(self) -> None:
        """Does nothing: the temporary tables end with the session."""

    async def _draw_line(self, identity: SourceIdentity) -> Line:
        """Raises the epoch and reads the floor in one transaction during which nobody writes to the outbox.

        A writer locks the table before it draws a position. So all rows up to the floor are committed, and an open
        transaction will write after it and is not seen by the snapshot.
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
