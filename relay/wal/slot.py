"""Gives the relay's replication slots their names, inspects slots, and drops them.

Each slot gets a name that no other slot has had. Every cursor of the log contains the name of its slot. So a slot whose
name is not in the stream's last cursor is useless, and is dropped.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

import psycopg

from relay.events.errors import LogUnavailable
from relay.events.lsn import lsn_text, parse_lsn
from relay.outbox.database import DatabaseConnection
from relay.wal.replication_connection import APPLICATION_NAME

#: How long to wait for the end of an old relay's session after it was terminated.
_TAKEOVER_MILLISECONDS = 3_000


def slot_prefix(table: str, stream: str) -> str:
    """Returns the beginning of all slot names of one (table, stream) pair."""
    digest = hashlib.sha256(f"{table}\0{stream}".encode()).hexdigest()
    return f"tandem_{digest[:12]}_"


def new_slot_name(prefix: str) -> str:
    """Returns a name that no slot has had before."""
    return f"{prefix}{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True)
class SlotState:
    """The state of a slot on the server. `problem` says why the slot cannot be read; None if it can."""

    confirmed_lsn: int
    active_pid: int | None
    problem: str | None


async def slot_state(connection: DatabaseConnection, name: str) -> SlotState | None:
    """Returns the state of a slot; None if this database has none of that name."""
    invalidation = "invalidation_reason" if connection.info.server_version >= 170_000 else "NULL"
    row = await (
        await connection.execute(
            f"""SELECT confirmed_flush_lsn::text, active_pid, wal_status, plugin, {invalidation}
                  FROM pg_replication_slots
                 WHERE slot_name = %s AND database = current_database() AND slot_type = 'logical'""",  # noqa: S608
            [name],
        )
    ).fetchone()
    if row is None:
        return None
    confirmed, active_pid, wal_status, plugin, reason = row
    problem = None
    if wal_status == "lost" or reason is not None:
        problem = f"the server has invalidated it ({reason or 'wal_status lost'})"
    elif plugin != "pgoutput":
        problem = f"its plugin is {plugin}"
    elif confirmed is None:
        problem = "it was never finished"
    return SlotState(parse_lsn(confirmed) if confirmed else 0, active_pid, problem)


async def take_slot(connection: DatabaseConnection, name: str, checkpoint_lsn: int) -> None:
    """Makes sure that the slot can be read from the checkpoint on, and that nobody else reads it.

    Ends the session of an older relay that still reads the slot, because only the holder of the leader's lock may.
    Raises LogUnavailable if the slot cannot be read, is after the checkpoint, or stays in use.
    """
    state = await slot_state(connection, name)
    if state is None:
        raise LogUnavailable(f"slot {name} does not exist any more")
    if state.problem is not None:
        raise LogUnavailable(f"slot {name} cannot be read: {state.problem}")
    if state.confirmed_lsn > checkpoint_lsn:
        raise LogUnavailable(
            f"slot {name} is ahead of the stream ({lsn_text(state.confirmed_lsn)}, the stream's checkpoint is at"
            f" {lsn_text(checkpoint_lsn)})"
        )
    if state.active_pid is not None:
        await _end_older_relay(connection, state.active_pid)
        state = await slot_state(connection, name)
        if state is None or state.active_pid is not None:
            raise LogUnavailable(f"slot {name} is in use by process {state.active_pid if state else '?'}")


async def slots_of(connection: DatabaseConnection, prefix: str) -> list[str]:
    """Returns the names of this database's slots that begin with `prefix`."""
    rows = await connection.execute(
        "SELECT slot_name FROM pg_replication_slots"
        " WHERE starts_with(slot_name, %s) AND database = current_database() ORDER BY slot_name",
        [prefix],
    )
    return [name for (name,) in await rows.fetchall()]


async def drop_slots(connection: DatabaseConnection, names: Iterable[str]) -> list[str]:
    """Drops slots. Returns those that stay, because somebody else reads them or our role may not drop them."""
    left: list[str] = []
    for name in names:
        state = await slot_state(connection, name)
        if state is not None and state.active_pid is not None:
            await _end_older_relay(connection, state.active_pid)
        try:
            await connection.execute("SELECT pg_drop_replication_slot(%s)", [name])
        except psycopg.errors.UndefinedObject:
            continue
        except (psycopg.errors.ObjectInUse, psycopg.errors.InsufficientPrivilege):
            left.append(name)
    return left


async def _end_older_relay(connection: DatabaseConnection, pid: int) -> None:
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity WHERE pid = %s AND application_name = %s",
            [_TAKEOVER_MILLISECONDS, pid, APPLICATION_NAME],
        )
    except psycopg.errors.InsufficientPrivilege:
        return
