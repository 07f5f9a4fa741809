"""Measures how much log the server keeps for the slot, and how much log was written after the stream's position."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from relay.events.cursor import Cursor, WalCursor
from relay.events.lsn import lsn_text
from relay.outbox.database import DatabaseConnection

#: The values that `status` may have.
SLOT_STATES = ("reserved", "extended", "unreserved", "lost")
#: The end of the log. On a standby it is the end of the log that was replayed.
_NOW = "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END"


@dataclass(frozen=True, slots=True)
class SlotUse:
    """Our slot, as the server reports it.

    `retained_bytes` of log are kept for the slot. `safe_bytes` more may be written before the slot is lost; None
    without a limit. `status` is reserved, extended, unreserved or lost.
    """

    name: str
    active: bool
    status: str
    retained_bytes: int
    safe_bytes: int | None

    def as_dict(self) -> dict[str, Any]:
        """Returns the fields as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class LogUse:
    """How much log is in use: by our slot (None without a slot), and after the stream's last cursor.

    `behind_bytes` is the log written after that cursor; None if it is not a cursor of the log.
    """

    slot: SlotUse | None
    behind_bytes: int | None


async def missing_limit(connection: DatabaseConnection) -> str | None:
    """Returns a warning if the server keeps log for slots without limit; None if it has a limit."""
    rows = await connection.execute("SELECT current_setting('max_slot_wal_keep_size') = '-1'")
    row = await rows.fetchone()
    if row is None or not row[0]:
        return None
    return (
        "max_slot_wal_keep_size is -1: while no relay runs, the server keeps all log written since and fills its disk;"
        " set a limit (a slot that is lost by it costs nothing, polling takes over), and drop the slot of a relay that"
        " is gone for good"
    )


async def log_use(connection: DatabaseConnection, prefix: str, cursor: Cursor | None) -> LogUse:
    """Measures both, in one statement. `prefix` is the beginning of our slots' names, `cursor` the stream's last."""
    reached = lsn_text(cursor.commit_lsn) if isinstance(cursor, WalCursor) else None
    rows = await connection.execute(
        f"""SELECT slot_name, active, coalesce(wal_status, 'lost'),
                   greatest(0, pg_wal_lsn_diff(now, restart_lsn))::bigint, safe_wal_size,
                   greatest(0, pg_wal_lsn_diff(now, %(reached)s::text::pg_lsn))::bigint
              FROM (SELECT {_NOW} AS now) AS log LEFT JOIN pg_replication_slots
                ON starts_with(slot_name, %(prefix)s) AND database = current_database()
             ORDER BY active DESC NULLS LAST LIMIT 1""",  # noqa: S608
        {"prefix": prefix, "reached": reached},
    )
    row = await rows.fetchone()
    assert row is not None
    name, active, status, retained, safe, behind = row
    slot = SlotUse(name, active, status, retained or 0, safe) if name is not None else None
    return LogUse(slot, behind if reached is not None else None)
