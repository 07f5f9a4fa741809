"""Compares the cluster of the connection with the one that the database records for its events.

After a restore, or a failover with loss, rows, transaction ids and positions of the database are not those that the
stream has seen. Such a database has another system identifier or timeline than the table `source` records.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from relay.events.errors import Refused, SourceChanged, SourceIsStandby
from relay.outbox.database import DatabaseConnection
from relay.outbox.table import TableName

#: The columns of the table `source`.
COLUMNS = ("epoch", "system_identifier", "timeline")


@dataclass(frozen=True, slots=True)
class SourceIdentity:
    """The identity of the source: its source epoch (1 without a table `source`), and its cluster and timeline."""

    epoch: int
    system_identifier: str
    timeline: int

    @property
    def cluster(self) -> tuple[str, int]:
        """The cluster's identifier and its timeline. Another value means another cluster or another history of it."""
        return self.system_identifier, self.timeline


async def require_same_source(connection: DatabaseConnection, source_table: TableName) -> SourceIdentity:
    """Returns the identity of this primary.

    Raises SourceIsStandby if it is a standby, SourceChanged if the database records another cluster or timeline.
    """
    cluster = await primary_cluster(connection)
    recorded = await recorded_source(connection, source_table)
    if recorded is None:
        return SourceIdentity(1, *cluster)
    if recorded.cluster != cluster:
        raise SourceChanged(
            f"the database is cluster {cluster[0]}, timeline {cluster[1]}, but its events are recorded as those of"
            f" cluster {recorded.system_identifier}, timeline {recorded.timeline}: if it was restored or failed over,"
            " run `python -m relay adopt`"
        )
    return recorded


async def primary_cluster(connection: DatabaseConnection) -> tuple[str, int]:
    """Returns system identifier and timeline of the database. Raises SourceIsStandby if it is no primary."""
    if (await _row(connection, "SELECT pg_is_in_recovery()"))[0]:
        raise SourceIsStandby(
            "the database is a standby: point RELAY_DATABASE_URL at the primary"
            " (what a standby shows may be lost when another one is promoted)"
        )
    # The timeline is that of the log being written. The control file has an old one until the first checkpoint after a
    # promotion.
    system_identifier, timeline = await _row(
        connection,
        "SELECT system_identifier::text, ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int"
        " FROM pg_control_system()",
    )
    return system_identifier, timeline


async def recorded_source(connection: DatabaseConnection, source_table: TableName) -> SourceIdentity | None:
    """Returns the source that the database records for its events; None without such a table."""
    if not (await _row(connection, "SELECT to_regclass(%s) IS NOT NULL", source_table.plain))[0]:
        return None
    cursor = await connection.execute(f"SELECT {', '.join(COLUMNS)} FROM {source_table.quoted} LIMIT 2")  # noqa: S608
    rows = await cursor.fetchall()
    if len(rows) != 1:
        raise Refused(
            f"table {source_table} must have exactly one row and has {len(rows) or 'none'}: run the migrations"
        )
    return SourceIdentity(*rows[0])


async def _row(connection: DatabaseConnection, statement: str, *parameters: object) -> tuple[Any, ...]:
    row = await (await connection.execute(statement, parameters or None)).fetchone()
    assert row is not None
    return tuple(row)
